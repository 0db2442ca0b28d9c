"""Mistakes that show before the first step, once the data is known: no run is created for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build, locate
from dlcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.splits.split import Split


def check_experiment(config: Mapping[str, Any], data: Data, split: Split) -> None:
    """Refuse a model that cannot take this data, and a monitored metric that nobody will log.

    Raises:
        ConfigError: with all that was found.
    """
    problems = [*_pairing(config, data), *_monitor(config, data, split)]
    if problems:
        raise ConfigError(problems)


def _pairing(config: Mapping[str, Any], data: Data) -> list[Problem]:
    target = config["model"]["_target_"]
    accepts = getattr(locate(target), "accepts", None)
    if accepts is None or data.kind in accepts:
        return []
    takes = " or ".join(sorted(accepts))
    return [
        Problem(
            f"{target.rpartition('.')[2]} takes {takes} data; {data.name} is {data.kind} data",
            "model",
            f"Choose a model that takes {data.kind} data (model=mlp takes any of a fixed size).",
        )
    ]


def _monitor(config: Mapping[str, Any], data: Data, split: Split) -> list[Problem]:
    from dlcli.config.suggest import did_you_mean

    task = build(config["task"], where="task", classes=data.classes)
    parts = [part for part in ("train", "val") if len(split.rows(part))]
    logged = [f"{part}/{name}" for part in parts for name in ("loss", *task.metric_names)]
    problems = []
    watched = {"monitor": config["monitor"]}
    for name, callback in config["callbacks"].items():
        if isinstance(callback.get("monitor"), str):
            watched[f"callbacks.{name}.monitor"] = callback["monitor"]
    for where, monitor in watched.items():
        if monitor in logged or (where != "monitor" and monitor == config["monitor"]):
            continue
        if monitor.startswith("val/") and "val" not in parts:
            hint = "Give it validation rows (cv.val_size=0.15), or monitor=train/loss."
            problems.append(Problem(f"{monitor} is watched, but there are no validation rows", where, hint))
        else:
            hint = did_you_mean(monitor, logged) or f"Logged are: {', '.join(logged)}."
            problems.append(Problem(f"{monitor} is watched, but never logged", where, hint))
    return problems

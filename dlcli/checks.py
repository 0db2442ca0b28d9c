"""Mistakes that show before the first step, once the data is known: no run is created for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build, locate
from dlcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    import numpy as np

    from dlcli.datasets.data import Data
    from dlcli.splits.split import Split

# Rows that show what shape preprocessing gives them.
_ENOUGH_ROWS = 256


def check_experiment(config: Mapping[str, Any], data: Data, split: Split) -> None:
    """Refuse a model that cannot take this data, a metric that nobody will log, and parts that cannot be made.

    Raises:
        ConfigError: with all that was found.
    """
    problems = [*_pairing(config, data), *_monitor(config, data, split)]
    if not problems:
        problems = [*_construction(config, data, split)]
    if problems:
        raise ConfigError(problems)


def check_refit(config: Mapping[str, Any], splits: Sequence[Split], final_test: np.ndarray) -> None:
    """Refuse to refit where a fold was tested on the final test rows already.

    Raises:
        ConfigError: that is so.
    """
    if config["cv"]["refit"] and set(final_test.tolist()) & set(splits[0].test.tolist()):
        raise ConfigError(
            "hold-out has tested on the final test rows: a refitted model would see them again",
            where="cv.refit",
            hint="Choose folds (cv=kfold cv.test_size=0.2 cv.refit=true).",
        )


def _construction(config: Mapping[str, Any], data: Data, split: Split) -> Iterator[Problem]:
    """What only shows when the parts are made: a model without memory, an optimizer of one number, the trainer."""
    import torch

    from dlcli.datasets.data import take

    some = take(data.x, split.train[:_ENOUGH_ROWS])
    preprocessing = build(config["preprocessing"], where="preprocessing").fit(some)
    task = build(config["task"], where="task", classes=data.classes)
    facts = {"input_shape": preprocessing.transform(some)["x"].shape[1:], "num_outputs": task.num_outputs}

    def model() -> None:
        with torch.device("meta"):
            build(config["model"], where="model", **facts)

    def optimizer() -> None:
        build(config["optimizer"], where="optimizer", params=[torch.nn.Parameter(torch.zeros(1))])

    def trainer() -> None:
        build(config["trainer"], where="trainer", logger=False, enable_checkpointing=False)

    for make in (model, optimizer, trainer):
        try:
            make()
        except ConfigError as error:
            yield from error.problems


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
        if callback and isinstance(callback.get("monitor"), str):
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

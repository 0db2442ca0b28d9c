"""The section `metric`: a section for each chosen metric, filled from the options of the group `metric`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.config.folders import options
from dlcli.config.metric_words import DEFAULT, metrics_meant
from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices, hint, question
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError, Problem

GROUP = "metric"


def with_chosen_metrics(
    config: dict[str, Any], folders: Sequence[Path]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the configuration with the names of all metrics in `task.metrics`, and their sections in `metric`.

    `default` is replaced by the default metrics of the task. The problems are metrics that are unknown or do not fit
    the task, and sections that are not used.
    """
    node, sections = config["task"], config.get(GROUP) or {}
    task = locate(node[TARGET], "task")
    by_default = getattr(task, "default_metrics", ())
    if not by_default or "metrics" in vars(task):  # a user-defined task builds its metrics itself
        where = next((f"{GROUP}.{name}" for name in sections), None)
        own = f"{task.__name__} defines its own metrics"
        return config, [Problem(own, where, f"Remove {where}.")] if where else []
    if _has_quantiles(node):
        by_default += task.quantile_metrics
    names: dict[str, None] = {}
    for name in node.get("metrics") or (DEFAULT,):
        names |= dict.fromkeys(by_default if name == DEFAULT else (name,))
    files, found, problems = options(GROUP, folders), {}, []
    for name in names:
        section = sections.get(name) or (read(files[name]) if name in files else None)
        if section is None:
            known = fitting_metrics(task, folders)
            problems.append(
                Problem(
                    f"there is no metric {name}",
                    "task.metrics",
                    hint(question(metrics_meant(name, known)), choices(known)),
                )
            )
        elif problem := _problem(name, section, task, _has_quantiles(node)):
            problems.append(problem)
        else:
            found[name] = {key: value for key, value in section.items() if key != "accepts"}
    for name in sections:
        if name not in names:
            problems.append(
                Problem(
                    "is set, but the metric is not computed",
                    f"{GROUP}.{name}",
                    f"Add it: {pasted('task.metrics', [DEFAULT, name])}, or remove its keys.",
                )
            )
    return {**config, "task": {**node, "metrics": list(names)}, GROUP: found}, problems


def _problem(name: str, section: Any, task: Any, quantiles: bool) -> Problem | None:
    """Return what is wrong with a metric for a task, or None."""
    where = f"{GROUP}.{name}"
    if not isinstance(section, Mapping) or TARGET not in section:
        return Problem("is missing", f"{where}.{TARGET}", "Name the class of the metric.")
    if name in ("loss", DEFAULT) or name.endswith("_untuned") or not re.fullmatch(r"[A-Za-z]\w*", name):
        return Problem(f"{name} cannot be the name of a metric", "task.metrics", "Rename its YAML file.")
    if not _fits(section, task):
        kinds = " or ".join(section["accepts"])
        return Problem(
            f"{name} is for {kinds} targets, but the task is {_kind(task)}",
            "task.metrics",
            "See dlcli list metric.",
        )
    if name in getattr(task, "quantile_metrics", ()) and not quantiles:
        return Problem(
            f"{name} needs several quantiles, but the loss has none",
            "task.metrics",
            "Add task/loss=quantile 'task.loss.quantiles=[0.1,0.5,0.9]'.",
        )
    return None


def fitting_metrics(task: Any, folders: Sequence[Path] = ()) -> list[str]:
    """Return the options of the group `metric` that are for the targets of a task."""
    return [name for name, file in options(GROUP, folders).items() if _fits(read(file), task)]


def _fits(section: Mapping[str, Any], task: Any) -> bool:
    accepts = section.get("accepts")
    return not isinstance(accepts, list) or _kind(task) in accepts


def _kind(task: Any) -> str:
    return "forecast" if "forecast" in getattr(task, "accepts", ()) else str(task.kind)


def _has_quantiles(node: Mapping[str, Any]) -> bool:
    """Return whether the loss has several quantiles, by its argument or, if it is user-defined, by its attribute."""
    loss = node.get("loss") or {}
    quantiles = loss.get("quantiles")
    if quantiles is None and TARGET in loss:
        try:
            quantiles = getattr(locate(loss[TARGET], "task.loss"), "quantiles", ())
        except ConfigError:
            quantiles = ()
    return isinstance(quantiles, list | tuple) and len(quantiles) > 1


def with_modes(
    config: dict[str, Any], better: Mapping[str, str | None], earlier: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the configuration with each mode `auto` replaced by `min` or `max`, as the monitored metric requires.

    The problems are modes of metrics that have no direction; these are set to `min`.

    Args:
        config: the configuration.
        better: metric to `min` or `max`; None for a metric without a direction.
        earlier: the recorded configuration of a search that continues. Its modes are kept for metrics without a
            direction, which earlier versions minimized.
    """
    open_modes: dict[str, Problem] = {}

    def mode_of(monitored: Any, where: str, before: Any) -> str:
        name = str(monitored).partition("/")[2]
        if found := better.get(name):
            return found
        if isinstance(before, str) and before != AUTO:
            return before
        if name in better:
            hint = f"Set {where}=min or {where}=max, whichever values are better."
            open_modes.setdefault(monitored, Problem(f"{monitored} has no direction", where, hint))
        return "min"

    def settled(node: Any, where: str, monitored: Any, before: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        watched = node.get("monitor", monitored)
        then = before if isinstance(before, Mapping) else {}
        return {
            key: mode_of(watched, f"{where}.{key}", then.get(key))
            if key == "mode" and value == AUTO
            else settled(value, f"{where}.{key}", watched, then.get(key))
            for key, value in node.items()
        }

    found, monitored, then = dict(config), config["monitor"], earlier or {}
    if found["mode"] == AUTO:
        found["mode"] = mode_of(monitored, "mode", then.get("mode"))
    for section, before in (("callbacks", then.get("callbacks")), ("scheduler", {"mode": found["mode"]})):
        if section in found:
            found[section] = settled(found[section], section, monitored, before)
    return found, list(open_modes.values())


# The mode that is determined by the monitored metric.
AUTO = "auto"

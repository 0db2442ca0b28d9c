"""Checks that the task, its loss and the monitored metric fit the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from dlcli.config.build import TARGET, build, locate
from dlcli.config.catalog import accepting, is_for
from dlcli.config.pasted import pasted
from dlcli.config.target_types import check_type
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, Problem
from dlcli.process.own_frame import own_place
from dlcli.splits.split import Part, Split
from dlcli.statistics.conformal import fewest_rows
from dlcli.tasks.base import Task
from dlcli.tasks.facts import target_facts
from dlcli.tasks.metric_choice import with_metrics

# Kinds of targets for which outputs that predict them perfectly are known.
_PERFECTED = ("binary", "multiclass", "multilabel", "regression")


def check_task(node: Mapping[str, Any], data: Data, split: Split) -> list[Problem]:
    """Return what is wrong with a `task` section for these targets and rows."""
    return _kinds(node, data) or _quantiles(node) or _threshold(node, split) or _coverage(node, split)


def _kinds(node: Mapping[str, Any], data: Data) -> list[Problem]:
    """Return problems if the task does not accept the targets, or the loss does not accept the task."""
    task = locate(node[TARGET])
    accepts = getattr(task, "accepts", {data.target_kind})
    if data.target_kind not in accepts:
        return [
            Problem(
                f"{task.__name__} is for {' or '.join(sorted(accepts))} targets, "
                f"but those of {data.name} are {data.target_kind}",
                "task",
                f"Choose task={data.target_kind}, or task=auto.",
            )
        ]
    loss = node.get("loss")
    if not loss:  # a user-defined task may not need a loss
        return []
    for_tasks = getattr(locate(loss[TARGET]), "accepts", None)
    if for_tasks is None or task.kind in for_tasks:
        return []
    fitting = accepting("task/loss", task.kind)
    name = loss[TARGET].rpartition(".")[2]
    return [
        Problem(
            f"{name} is for {' or '.join(sorted(for_tasks))} targets, but the task is {task.kind}",
            "task/loss",
            f"Choose task/loss={' or '.join(fitting)}.",
        )
    ]


def fits_targets(node: Mapping[str, Any], task: Mapping[str, Any], data: Data) -> Iterator[Problem]:
    """Yield a problem if the model's outputs do not fit the targets, such as one output per row for masks.

    A model lists the kinds of targets that it supports in `targets`; dlcli's models without this attribute have one
    output per row.
    """
    model = locate(node[TARGET])
    own = getattr(model, "targets", None)
    chosen = locate(task[TARGET]) if TARGET in task else None
    makes_images = not getattr(chosen, "predicts_rows", True)
    kind = chosen.kind if chosen is not None and makes_images else data.target_kind
    if is_for(model, kind) or (own is None and not model.__module__.startswith("dlcli.")):
        return
    what = "one vector of outputs per row" if own is None else f"outputs for {' or '.join(sorted(own))}"
    fitting = accepting("model", data.kind, kind)
    yield Problem(
        f"{model.__name__} has {what}, but the task is to generate images"
        if makes_images
        else f"{model.__name__} has {what}, but the targets of {data.name} are {data.target_kind}",
        "model",
        f"Choose {' or '.join(pasted('model', name) for name in fitting)}.",
    )


def mixes_targets(node: Mapping[str, Any], data: Data) -> Iterator[Problem]:
    """Yield a problem if pairs of rows are mixed whose targets cannot be mixed."""
    what = data.targets_of_kind.unmixable
    if what and node.get("mixup"):
        yield Problem(f"{what} cannot be mixed", "augmentation.mixup", "Set augmentation.mixup=0.")


def _quantiles(node: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if the task does not support several quantiles, which need several outputs per target."""
    several = len((node.get("loss") or {}).get("quantiles", ())) > 1
    task = locate(node[TARGET])
    if not several or getattr(task, "learns_quantiles", False):
        return []
    return [
        Problem(
            f"{task.__name__} supports one quantile, not several",
            "task.loss.quantiles",
            "Use one, such as [0.9].",
        )
    ]


def _threshold(node: Mapping[str, Any], split: Split) -> list[Problem]:
    """Return a problem for each setting that is fitted to validation rows after training, if there are none."""
    found = {
        "tune_threshold": (node.get("tune_threshold") is not None, "the threshold is tuned"),
        "calibrate": (node.get("calibrate", "none") != "none", "probabilities are calibrated"),
    }
    return [
        Problem(
            f"{what} on validation rows, but there are none",
            f"task.{key}",
            "Add validation rows (cv.val_size=0.15), or leave it out.",
        )
        for key, (is_set, what) in found.items()
        if is_set and not len(split.val)
    ]


def _coverage(node: Mapping[str, Any], split: Split) -> list[Problem]:
    """Return a problem if there are too few validation rows for the coverage that is to be measured."""
    coverage = node.get("coverage")
    if not isinstance(coverage, float) or not 0 < coverage < 1:
        return []
    needed, found = fewest_rows(coverage), len(split.val)
    if found >= needed:
        return []
    return [
        Problem(
            f"a coverage of {coverage:g} needs at least {needed:,} validation rows, and there are {found:,}",
            "task.coverage",
            "Add validation rows (cv.val_size=0.15), ask for less, or leave it out.",
        )
    ]


def make_task(config: Mapping[str, Any], data: Data, split: Split) -> Task:
    """Return the task that the configuration describes, for the training rows of a split."""
    task: Task = check_type(
        build(
            with_metrics(config["task"], config.get("metric")),
            where="task",
            **target_facts(data, split.train),
        ),
        "task",
        config["task"]["_target_"],
    )
    return task


def directions(config: Mapping[str, Any], data: Data, split: Split) -> dict[str, str | None]:
    """Return the direction of the loss and of each metric: `min`, `max`, or None if it has no direction.

    The loss alone is returned if no metric is monitored, or if there is no task.
    """
    found: dict[str, str | None] = {"loss": "min"}
    watched = [config["monitor"], *(node.get("monitor") for node in config["callbacks"].values() if node)]
    if all(str(one).endswith("/loss") for one in watched if one):
        return found
    with suppress(ConfigError):  # reported by `check_task`
        for name, metric in make_task(config, data, split).metrics().items():
            higher = metric.higher_is_better
            found[name] = None if higher is None else "max" if higher else "min"
    return found


def check_monitored(config: Mapping[str, Any], data: Data, splits: Sequence[Split]) -> None:
    """Check that each monitored metric is defined on the rows of each split; AUROC, for example, needs both classes.

    Raises:
        ConfigError: A metric is undefined on the rows of a split, whatever the model predicts.
    """
    watched = {"monitor": config["monitor"]} | {
        f"callbacks.{name}.monitor": node["monitor"]
        for name, node in config["callbacks"].items()
        if node and isinstance(node.get("monitor"), str) and node["monitor"] != config["monitor"]
    }
    problems = [
        problem for key, text in watched.items() if (problem := _undefined(key, text, config, data, splits))
    ]
    if problems:
        raise ConfigError(problems)


def _undefined(
    key: str, monitored: str, config: Mapping[str, Any], data: Data, splits: Sequence[Split]
) -> Problem | None:
    """Return what is wrong with a monitored metric, `val/auroc`; None if it is defined on all rows."""
    of, _, name = monitored.partition("/")
    if of not in ("train", "val") or name == "loss" or data.target_kind not in _PERFECTED:
        return None
    part: Part = "train" if of == "train" else "val"
    undefined = [
        number
        for number, split in enumerate(splits)
        if len(split.rows(part))
        and not _is_defined(name, make_task(config, data, split), data.y[split.rows(part)])
    ]
    if not undefined:
        return None
    rows = {"train": "training", "val": "validation"}[part] + " rows"
    where = f"the {rows}" if len(splits) == 1 else f"the {rows} of {len(undefined)} of {len(splits)} splits"
    mode = key.replace("monitor", "mode")
    shares = (
        ""
        if data.target_kind == "regression"
        else "equal shares of the classes in all parts (cv.stratify=true), "
    )
    section = config.get("metric") or {}
    place = own_place(locate(section[name][TARGET], f"metric.{name}"), "compute") if name in section else ""
    own = f", or {name} returns nan{place}" if place else ""
    return Problem(
        f"{monitored} is undefined on {where}: they lack a class or a label, or have a single value{own}",
        key,
        f"Use {key}=val/loss {mode}=min, {shares}or more validation rows (cv.val_size=0.3).",
    )


def _is_defined(name: str, task: Task, targets: np.ndarray) -> bool:
    """Return whether a metric is defined for perfect predictions; always true for a user-defined task."""
    metric = task.metrics().get(name)
    if metric is None or not type(task).__module__.startswith("dlcli."):
        return True
    y = torch.as_tensor(task.encode(targets))
    match task.kind:
        case "multiclass":
            outputs = 20.0 * torch.nn.functional.one_hot(y, task.num_outputs)
        case "binary" | "multilabel":
            outputs = 40.0 * y - 20.0
        case _:
            # A regression metric may need two different targets, and several quantiles have no perfect prediction.
            return "constant_target" not in getattr(metric, "undefined", ()) or bool((y != y[:1]).any())
    with torch.no_grad():
        metric.update(*task.metric_inputs(outputs, y))
    return not bool(metric.compute().isnan().any())

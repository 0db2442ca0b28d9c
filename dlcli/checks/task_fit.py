"""Checks that the task and its loss fit the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.config.catalog import accepting
from dlcli.datasets.data import Data
from dlcli.errors import Problem
from dlcli.splits.split import Split


def check_task(node: Mapping[str, Any], data: Data, split: Split) -> list[Problem]:
    """Return what is wrong with a `task` section for these targets and rows."""
    return _kinds(node, data) or _quantiles(node) or _threshold(node, split)


def _kinds(node: Mapping[str, Any], data: Data) -> list[Problem]:
    """Check that the task accepts this kind of targets, and the loss this kind of task."""
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
    if not loss:  # a user-defined task may need none
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


def _quantiles(node: Mapping[str, Any]) -> list[Problem]:
    """Check that the task supports several quantiles, which give several outputs per target."""
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
    if node.get("tune_threshold") is None or len(split.val):
        return []
    return [
        Problem(
            "the threshold is tuned on validation rows, but there are none",
            "task.tune_threshold",
            "Add validation rows (cv.val_size=0.15), or leave it out.",
        )
    ]

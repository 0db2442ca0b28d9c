"""Compare a model with the baseline `trees` on the same rows, for the final message of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dlcli.formatting import counted, number
from dlcli.inference.evaluation import TREES, Evaluation
from dlcli.result import AGAINST_TREES, Result
from dlcli.splits.split import FINAL_TEST, Part, Split
from dlcli.statistics.of_rows import difference_interval
from dlcli.statistics.paired import corrected_paired_t
from dlcli.tasks.base import Task
from dlcli.training.fields import as_fields

# Minimum number of rows for an interval by the normal approximation.
_FEWEST = 30


def verdict_on_rows(task: Task, evaluations: Mapping[Part, Evaluation]) -> str:
    """Return a sentence on whether a run or its trees have the lower loss, on test rows or else validation rows.

    The losses are paired by row. The interval covers the choice of the rows, not that of the training rows or the seed.
    The result is empty without trees, for a loss that is not a mean over rows, and for fewer than 30 rows.
    """
    part: Part = "test" if "test" in evaluations else "val"
    evaluation = evaluations.get(part)
    if evaluation is None or TREES not in evaluation.baseline_outputs or len(evaluation.rows) < _FEWEST:
        return ""
    y = as_fields({"y": task.encode(evaluation.y)})["y"][:]
    own, of_trees = (
        _losses(task, outputs, y) for outputs in (evaluation.outputs, evaluation.baseline_outputs[TREES])
    )
    if own is None or of_trees is None:
        return ""
    words = FINAL_TEST if part == "test" else "validation"
    where = f"on these {counted(len(own), f'{words} row')}"
    return _conclusion(float((own - of_trees).mean()), difference_interval(own, of_trees), "loss", where)


def verdict_on_folds(task: Task, results: Sequence[Result], splits: Sequence[Split]) -> str:
    """Return a sentence on whether a cross-validation or its trees are better (corrected paired t-test over folds)."""
    scales = task.scales()
    for name in AGAINST_TREES:
        key = f"test/{name}"
        if not all(key in one.values and f"{TREES}/{key}" in one.baselines for one in results):
            continue
        own, of_trees = (
            np.array([figures[where] for figures in several])
            for several, where in (
                ([one.values for one in results], key),
                ([one.baselines for one in results], f"{TREES}/{key}"),
            )
        )
        sign = {"lower": 1.0, "higher": -1.0}.get(scales.get(name, {}).get("better", ""), 0.0)
        there = np.isfinite(own) & np.isfinite(of_trees)
        if not sign or there.sum() < 2:
            continue
        n_train = float(np.mean([len(split.train) + len(split.val) for split in splits]))
        n_test = float(np.mean([len(split.test) for split in splits]))
        found = corrected_paired_t(of_trees[there], own[there], n_train, n_test)
        ends = sorted((sign * found.low, sign * found.high))
        where = "on these folds"
        return _conclusion(sign * found.mean, (ends[0], ends[1]), name, where, lower=sign > 0)
    return ""


def _losses(task: Task, outputs: torch.Tensor, y: torch.Tensor) -> np.ndarray | None:
    """Return the loss of each row `(N,)`; None if it is not finite, or not a mean over rows."""
    with torch.no_grad():
        try:
            found = torch.func.vmap(lambda one, target: task.loss(one[None], target[None]))(
                outputs.double(), y.double() if y.is_floating_point() else y
            )
            whole = float(task.loss(outputs.double(), y))
        except (RuntimeError, ValueError, TypeError):  # a user-defined loss may require a whole batch
            return None
    losses = found.numpy()
    is_mean = losses.shape == (len(y),) and math.isclose(losses.mean(), whole, rel_tol=1e-3, abs_tol=1e-6)
    return losses if is_mean and np.isfinite(losses).all() else None


def _conclusion(mean: float, ends: tuple[float, float], name: str, where: str, *, lower: bool = True) -> str:
    """Return the conclusion from the difference between this run and the trees; if positive, the trees are better."""
    less, more = ("lower", "higher") if lower else ("higher", "lower")
    if ends[0] > 0 or ends[1] < 0:
        who, way_out = ("The trees are", ": model=hist_gradient_boosting trains them") if mean > 0 else (
            "This run is", "")  # fmt: skip
        small, large = sorted((abs(ends[0]), abs(ends[1])))
        return (
            f"{who} better {where}: the {name} is {less} by {number(abs(mean))}, 95 % CI {number(small)} to "
            f"{number(large)}{way_out}"
        )
    texts = [f"{number(abs(end))} {less if end > 0 else more}" for end in ends]
    return (
        f"Neither is better {where}: the {name} of the trees is {less if mean > 0 else more} by {number(abs(mean))}, "
        f"95 % CI {texts[0]} to {texts[1]}, not distinguishable; model=hist_gradient_boosting trains them, "
        "often in less time"
    )

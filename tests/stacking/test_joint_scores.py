"""Property: scores that are computed for several runs together are those that each run computes alone.

`DLCLI_SCORES=500` tries as many random combinations; a failure names its seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dlcli.stacking.joint_scores import JointScores
from dlcli.stacking.row_losses import row_losses
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Focal, Huber, Quantile
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.training import scores as scores_module
from dlcli.training.scores import Scores

CASES = int(os.environ.get("DLCLI_SCORES", "24"))
CLASSES, COUNTS = ["a", "b", "c"], [30, 20, 10]
LABELS, WITH = ["u", "v"], [[30, 30], [50, 10]]

# Metrics beside those of every epoch: of which torch can map some over runs, and others not.
MORE = {
    "classes": ["log_loss", "auroc", "brier", "mcc", "calibration_error", "cohen_kappa"],
    "numbers": ["mape", "smape", "mse", "spearman", "explained_variance", "rmsle"],
}


def maker(draw: random.Random) -> Callable[[int], Task]:
    """Return the function that makes the task of a run; units and thresholds may differ between runs."""
    smoothing, weights = draw.choice([0.0, 0.1]), draw.choice([None, "balanced"])
    differ = draw.random() < 0.5

    def classes(criterion: Any, counts: Any, names: Any) -> Any:
        return (
            criterion(names, counts, smoothing, weights) if criterion is not Focal else Focal(names, counts)
        )

    def unit(k: int, number: int) -> dict[str, Any]:
        names = ["u", "v"][:number]
        own = random.Random(k if differ else 0)
        mean, std = ([own.uniform(*bounds) for _ in names] for bounds in ((-3, 9), (0.5, 4)))
        return {"targets": names, "target_mean": mean, "target_std": std}

    columns = draw.choice([1, 2])
    numbers = draw.choice([MSE, MAE, lambda: Huber(0.5), lambda: Quantile([0.1, 0.5, 0.9])])
    crisp = draw.choice([CrossEntropy, Focal])
    of_one = draw.choice([BinaryCrossEntropy, Focal])
    kind = draw.choice(["multiclass", "binary", "multilabel", "regression"])
    chosen = draw.sample(MORE["numbers" if kind == "regression" else "classes"], 2)
    if kind == "multilabel":
        chosen = [name for name in chosen if name in ("log_loss", "auroc", "brier")]
    metrics = {"metrics": ["default", *chosen]}

    def make(k: int) -> Task:
        threshold = 0.3 + 0.1 * k if differ else 0.5
        if kind == "multiclass":
            return Multiclass(CLASSES, COUNTS, classes(crisp, COUNTS, CLASSES), **metrics)
        if kind == "binary":
            loss = classes(of_one, [[9, 7]], CLASSES[:2])
            return Binary(CLASSES[:2], [[9, 7]], loss, threshold, **metrics)
        if kind == "multilabel":
            return Multilabel(LABELS, WITH, classes(of_one, WITH, LABELS), **metrics)
        return Regression(**unit(k, columns), loss=numbers(), **metrics)

    return make


def targets(task: Task, rows: int, rng: torch.Generator) -> torch.Tensor:
    if isinstance(task, Multiclass):
        return torch.randint(0, 3, (rows,), generator=rng)
    if isinstance(task, Regression):
        return torch.randn(rows, len(task.names), generator=rng)
    return torch.randint(0, 2, (rows, task.num_outputs), generator=rng).float()


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(
        np.asarray(one, dtype=float), np.asarray(other, dtype=float), rtol=1e-5, atol=1e-6
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(CASES))
def test_they_are_those_of_each_run(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    make, size = maker(draw), draw.randint(2, 5)
    tasks = [make(k) for k in range(size)]
    names = draw.choice([None, list(tasks[0].epoch_metrics)])
    alone, joint = ([Scores(task, names) for task in tasks] for _ in range(2))
    numbers = draw.choice([[20] * size, [draw.choice([3, 20, 37]) for _ in tasks]])
    diverged = draw.randrange(size) if draw.random() < 0.3 and not isinstance(tasks[0], Regression) else None
    if draw.random() < 0.3:  # some rows of some runs are evaluated and released before
        monkeypatch.setattr(scores_module, "VALUES", 40)
    together = JointScores(joint, in_groups=True)
    for epoch in range(2):  # values of the first one must not be left
        rng = torch.Generator().manual_seed(seed * 10 + epoch)
        members = sorted(draw.sample(range(size), draw.randint(1, size)))
        for k in members:
            for rows in (numbers[k], draw.choice([1, numbers[k]])):
                y = targets(tasks[k], rows, rng)
                outputs = torch.randn(rows, tasks[k].num_outputs, generator=rng)
                outputs = torch.full_like(outputs, torch.nan) if k == diverged else outputs
                for one in (alone[k], joint[k]):
                    one.update(outputs, y)
        found = together.compute(members)
        assert sorted(found) == members
        for k in members:
            groups, values = found[k]
            own = alone[k].group_sums(100)
            expected = alone[k].compute()
            assert list(values) == list(expected)
            close(list(values.values()), list(expected.values()))
            assert groups is not None
            close(groups, own)
            assert not joint[k].has_rows


def test_the_mean_of_the_losses_of_rows_is_the_loss() -> None:
    for seed in range(40):
        task = maker(random.Random(seed))(0)
        rng = torch.Generator().manual_seed(seed)
        y, outputs = targets(task, 30, rng), torch.randn(30, task.num_outputs, generator=rng)
        losses = row_losses(task, outputs, y)
        assert losses.shape == (30,)
        close(losses.mean(), task.loss(outputs, y))
        close(losses[7], task.loss(outputs[7:8], y[7:8]))

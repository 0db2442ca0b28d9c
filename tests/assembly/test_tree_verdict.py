"""The conclusion of the comparison of a model with its tree baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dlcli.assembly.tree_verdict import verdict_on_folds, verdict_on_rows
from dlcli.inference.evaluation import TREES, Evaluation
from dlcli.result import Result
from dlcli.splits.split import Split
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import BinaryCrossEntropy

ROWS = 200
TASK = Binary(("no", "yes"), (100, 100), BinaryCrossEntropy(("no", "yes"), (100, 100)))
Y = np.arange(ROWS) % 2


def evaluated(own: Tensor, trees: Tensor, rows: int = ROWS) -> Evaluation:
    found = Evaluation(np.arange(rows), Y[:rows], own[:rows], {}, {})
    found.baseline_outputs[TREES] = trees[:rows]
    return found


def logits(strength: float) -> Tensor:
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(ROWS, 1)))
    return (torch.from_numpy(2.0 * Y - 1)[:, None] * strength + 0.3 * noise).float()


@pytest.mark.parametrize(
    ("own", "trees", "begins"),
    [
        (0.5, 2.0, "The trees are better on these 200 final test rows: the loss is lower by"),
        (2.0, 0.5, "This run is better on these 200 final test rows: the loss is lower by"),
    ],
)
def test_the_lower_loss_of_the_rows_decides(own: float, trees: float, begins: str) -> None:
    words = verdict_on_rows(TASK, {"test": evaluated(logits(own), logits(trees))})
    assert words.startswith(begins)
    losses = [
        float(torch.nn.functional.softplus(-(torch.from_numpy(2.0 * Y - 1)[:, None] * logits(s))).mean())
        for s in (own, trees)
    ]
    assert f"by {abs(losses[0] - losses[1]):.4g}"[:7] in words
    assert ("model=hist_gradient_boosting" in words) == (trees > own)


def test_equal_models_are_not_distinguished() -> None:
    flipped = logits(1.0).flip(0) * -1  # the same losses, of other rows
    words = verdict_on_rows(TASK, {"val": evaluated(logits(1.0), flipped)})
    assert words.startswith("Neither is better on these 200 validation rows: ")
    assert "not distinguishable" in words


def test_few_rows_have_no_interval_and_no_trees_no_verdict() -> None:
    assert verdict_on_rows(TASK, {"test": evaluated(logits(0.5), logits(2.0), 20)}) == ""
    bare = replace(evaluated(logits(1.0), logits(1.0)), baseline_outputs={})
    assert verdict_on_rows(TASK, {"test": bare}) == ""


@pytest.mark.parametrize(
    ("own", "begins"),
    [
        ((0.7, 0.71, 0.69), "The trees are better on these folds: the auroc is higher by 0.2000"),
        ((0.99, 0.991, 0.989), "This run is better on these folds: the auroc is higher by 0.0900"),
        ((0.8, 0.99, 0.93), "Neither is better on these folds: the auroc of the trees is lower by"),
    ],
)
def test_folds_are_paired(own: tuple[float, ...], begins: str) -> None:
    trees = (0.9, 0.901, 0.899) if own[0] != 0.8 else (0.85, 0.89, 0.91)
    results = [
        Result("FINISHED", "", "", "", Path(), "", {"test/auroc": a}, 0.0, {f"{TREES}/test/auroc": b})
        for a, b in zip(own, trees, strict=True)
    ]
    split = Split(np.arange(80), np.arange(80, 90), np.arange(90, 100))
    assert verdict_on_folds(TASK, results, [split] * 3).startswith(begins)

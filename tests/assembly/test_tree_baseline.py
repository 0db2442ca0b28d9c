"""The baseline of trees: which runs have it, and that it sees training rows alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification

import dlcli
from dlcli.assembly.tree_baseline import add_trees, wants_trees
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError
from dlcli.inference.evaluate import Evaluation
from dlcli.splits.split import Split
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import BinaryCrossEntropy, Focal

X, Y = make_classification(800, 6, n_informative=4, random_state=0)
SPLIT = Split(np.arange(500), np.arange(500, 650), np.arange(650, 800))
CONFIG: dict[str, Any] = {"baseline": "auto", "model": {"_target_": "dlcli.models.mlp.MLP"}}


def data(x: np.ndarray = X, y: np.ndarray = Y) -> Data:
    frame = pd.DataFrame(x, columns=list("abcdef"))
    return Data(name="made", kind="table", x=frame, y=y, classes=("no", "yes"), source="sklearn.datasets")


def task(loss: Any = BinaryCrossEntropy) -> Binary:
    return Binary(
        ("no", "yes"), (250, 250), loss(("no", "yes"), (250, 250)), tune_threshold="f1", tuned_threshold=0.9
    )


def of_trees(found: Data) -> dict[str, dict[str, float]]:
    parts = {"val": SPLIT.val, "test": SPLIT.test}
    evaluations = {part: Evaluation(rows, found.y[rows], None, {}, {}) for part, rows in parts.items()}  # type: ignore[arg-type]
    add_trees(CONFIG, found, SPLIT, 0, task(), evaluations)  # type: ignore[arg-type]
    return {part: one.baselines["trees"] for part, one in evaluations.items()}


def test_test_rows_change_nothing_but_their_own_metrics() -> None:
    found = of_trees(data())
    assert found["test"]["auroc"] > 0.9
    x, y = X.copy(), Y.copy()
    x[SPLIT.test], y[SPLIT.test] = np.nan, 1 - y[SPLIT.test]
    other = of_trees(data(x, y))
    assert other["val"] == found["val"]
    assert other["test"]["auroc"] < found["test"]["auroc"]


def test_small_tables_forests_and_other_losses_have_no_trees_beside_them() -> None:
    made, rows = data(), SPLIT.train
    assert wants_trees(CONFIG, made, rows, task())
    assert not wants_trees(CONFIG, made, rows[:499], task())
    assert wants_trees({**CONFIG, "baseline": "trees"}, made, rows[:499], task())
    assert not wants_trees({**CONFIG, "baseline": "none"}, made, rows, task())
    assert not wants_trees({"model": CONFIG["model"]}, made, rows, task())  # a run of an earlier version
    assert not wants_trees(CONFIG, made, rows, task(Focal))
    assert not wants_trees(CONFIG, replace(made, kind="sequence"), rows, task())
    forest = {**CONFIG, "model": {"_target_": "dlcli.models.random_forest.RandomForest"}}
    assert not wants_trees(forest, made, rows, task())


def test_a_run_says_how_trees_do_on_the_same_rows(tmp_path: Path) -> None:
    words = [
        "dataset=iris",
        "model=linear",
        "trainer.max_epochs=2",
        f"runs_dir='{tmp_path}'",
        "baseline=trees",
    ]
    result = dlcli.train([*words, "cv=kfold", "cv.folds=2"])
    (sentence,) = [text for text in result.messages if text.startswith("trees")]
    assert f"this run {result.metrics['cv/log_loss_mean']:.4g}" in sentence
    assert "trees/cv/auroc_mean" in result.baselines


def test_trees_are_refused_where_they_cannot_be_a_baseline() -> None:
    with pytest.raises(ConfigError, match="digits is image data"):
        dlcli.check(["baseline=trees"])

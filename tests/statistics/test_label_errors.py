"""Likely label errors: labels that were flipped on purpose are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import dlcli
from dlcli.errors import InputError
from dlcli.statistics.label_errors import find_label_errors


def test_flipped_labels_are_found() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 600)
    logits = random.normal(size=(600, 3))
    logits[np.arange(600), truth] += 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    flipped = random.choice(600, 60, replace=False)
    given = truth.copy()
    given[flipped] = (given[flipped] + 1) % 3
    found = find_label_errors(given, probabilities)
    hits = np.isin(found.rows, flipped)
    assert hits.mean() > 0.95
    assert hits.sum() > 0.85 * len(flipped)
    assert found.expected == pytest.approx(60, abs=12)
    assert (found.suggested[hits] == truth[found.rows[hits]]).mean() > 0.95
    np.testing.assert_allclose(found.joint.sum(axis=1), np.bincount(given))


def test_the_joint_is_that_of_a_small_example() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    found = find_label_errors(labels, probabilities)
    np.testing.assert_allclose(found.thresholds, [0.55, 0.8])
    # The third row reaches neither threshold, and does not count.
    assert found.rows.tolist() == [1]
    np.testing.assert_allclose(found.joint, [[1, 1], [0, 2]])


def test_a_class_without_rows_is_never_suggested() -> None:
    found = find_label_errors(np.array([0, 0, 1]), np.array([[0.5, 0.1, 0.4], [0.4, 0, 0.6], [0.2, 0.8, 0]]))
    assert 2 not in found.suggested
    assert np.isfinite(found.joint).all()


def test_a_cross_validation_finds_labels_that_were_flipped_in_its_file(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    flipped = np.array([3, 20, 41])
    given = names.copy()
    given[flipped] = "virginica"
    x.assign(species=given).to_csv(tmp_path / "iris.csv", index=False)
    words = ["dataset=table", f"dataset.path='{tmp_path}/iris.csv'", "dataset.target=species", "model=mlp"]
    quick = [
        "trainer.max_epochs=15",
        "optimizer.lr=0.02",
        "trainer.accelerator=cpu",
        f"runs_dir='{tmp_path}/runs'",
    ]
    run = dlcli.train([*words, *quick, "cv=stratified_kfold", "cv.folds=3"])
    found = dlcli.label(run.run_dir, tmp_path / "labels.csv")
    assert found.rows == 150
    assert set(flipped) <= set(found.errors["row"])
    assert set(found.errors["row"].head(3)) == set(flipped)
    assert (found.errors["suggested"].head(3) == "setosa").all()
    assert len(pd.read_csv(tmp_path / "labels.csv")) == len(found.errors)
    with pytest.raises(InputError, match="the rows are not images"):
        dlcli.label(run.run_dir, picture=tmp_path / "grid.png")

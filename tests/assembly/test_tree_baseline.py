"""The baseline of trees: which runs have it, and that it is fitted on training rows only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification

import dlcli
from dlcli.assembly.tree_baseline import add_trees, wants_trees
from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice
from dlcli.errors import ConfigError, DataError
from dlcli.inference.evaluation import Evaluation
from dlcli.preprocessing.fitted import FittedPreprocessing
from dlcli.preprocessing.table import Table
from dlcli.splits.split import Part, Split
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


def grown(
    found: Data, config: dict[str, Any] = CONFIG, parts: tuple[Part, ...] = ("val", "test")
) -> tuple[dict[Part, dict[str, float]], list[Notice]]:
    of_parts: dict[Part, np.ndarray] = {"val": SPLIT.val, "test": SPLIT.test}
    evaluations = {
        part: Evaluation(of_parts[part], found.y[of_parts[part]], torch.empty(0), {}, {}) for part in parts
    }
    notices = add_trees(config, found, of_rows(SPLIT.train), 0, task(), evaluations)
    return {part: one.baselines.get("trees", {}) for part, one in evaluations.items()}, notices


def of_rows(rows: np.ndarray) -> FittedPreprocessing:
    return FittedPreprocessing(Table(), rows)


def of_trees(found: Data) -> dict[Part, dict[str, float]]:
    metrics, notices = grown(found)
    assert not notices
    return metrics


def test_test_rows_change_nothing_but_their_own_metrics() -> None:
    found = of_trees(data())
    assert found["test"]["auroc"] > 0.9
    x, y = X.copy(), Y.copy()
    x[SPLIT.test], y[SPLIT.test] = np.nan, 1 - y[SPLIT.test]
    other = of_trees(data(x, y))
    assert other["val"] == found["val"]
    assert other["test"]["auroc"] < found["test"]["auroc"]


def test_optional_trees_do_not_fail_a_trained_run() -> None:
    x = X.copy()
    x[:, 0] = np.linspace(1e40, 2e40, len(x))
    metrics, (notice,) = grown(data(x))
    assert metrics == {"val": {}, "test": {}}
    assert notice.key == "no_trees"
    assert "no trees to compare this run with: 1e+40 is too far" in notice.text.replace(
        "row 1, column a: ", ""
    )
    with pytest.raises(DataError, match="too far"):
        grown(data(x), {**CONFIG, "baseline": "trees"})


def test_trees_without_validation_rows_tell_their_number_of_iterations() -> None:
    metrics, (notice,) = grown(data(), parts=("test",))
    assert metrics["test"]["auroc"] > 0.9
    assert notice.text.startswith("the trees have all 100 iterations")


def test_a_loss_that_is_infinite_chooses_the_first_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BinaryCrossEntropy, "forward", lambda *_: torch.tensor(float("inf")))
    metrics, _ = grown(data())
    assert metrics["test"]["auroc"] > 0.9


def test_small_tables_forests_and_other_losses_have_no_tree_baseline() -> None:
    made, rows = data(), of_rows(SPLIT.train)
    assert wants_trees(CONFIG, made, rows, task())
    assert not wants_trees(CONFIG, made, of_rows(SPLIT.train[:499]), task())
    assert wants_trees({**CONFIG, "baseline": "trees"}, made, of_rows(SPLIT.train[:499]), task())
    assert not wants_trees({**CONFIG, "baseline": "none"}, made, rows, task())
    assert not wants_trees({"model": CONFIG["model"]}, made, rows, task())  # a run of an earlier version
    assert not wants_trees(CONFIG, made, rows, task(Focal))
    assert not wants_trees(CONFIG, replace(made, kind="sequence"), rows, task())
    own = type("BinaryCrossEntropy", (Focal,), {})  # the user's own loss, with the name of one of dlcli's
    assert not wants_trees(CONFIG, made, rows, task(own))
    assert not wants_trees(CONFIG, replace(made, x=X), rows, task())  # the user's own kind of rows
    forest = {**CONFIG, "model": {"_target_": "dlcli.models.random_forest.RandomForest"}}
    assert not wants_trees(forest, made, rows, task())


def test_texts_are_those_of_the_model_and_count_as_work() -> None:
    said = [f"{word} it was {row}" for row, word in enumerate(np.where(Y, "good", "bad"))]
    table = data().x.assign(said=said)
    made = replace(data(), x=table)
    fitted = FittedPreprocessing(Table(texts="words", text_directions=2).fit(table.iloc[:500]), SPLIT.train)
    assert list(fitted.preprocessing.texts_) == ["said"]  # type: ignore[attr-defined]
    evaluation = Evaluation(SPLIT.test, Y[SPLIT.test], torch.empty(0), {}, {})
    add_trees(CONFIG, made, fitted, 0, task(), {"test": evaluation})
    assert evaluation.baselines["trees"]["auroc"] == 1.0
    long = replace(made, x=table.assign(said=table["said"] + " it was" * 10_000))
    assert wants_trees(CONFIG, made, fitted, task())
    assert not wants_trees(CONFIG, long, fitted, task())


def test_the_metrics_of_trees_on_the_same_rows_are_shown(tmp_path: Path) -> None:
    words = [
        "dataset=iris",
        "model=linear",
        "trainer.max_epochs=2",
        f"runs_dir='{tmp_path}'",
        "baseline=trees",
    ]
    result = dlcli.train([*words, "cv=kfold", "cv.folds=2", "executor.jobs=1"])
    (sentence,) = [text for text in result.messages if text.startswith("trees")]
    assert f"this run {result.metrics['cv/log_loss_mean']:.4g}" in sentence
    assert "trees/cv/auroc_mean" in result.baselines


def test_a_run_whose_trees_cannot_be_grown_is_resumed_without_them(tmp_path: Path) -> None:
    x = data().x.assign(a=np.linspace(1e40, 2e40, len(X)), label=np.where(Y, "yes", "no"))
    x.to_csv(tmp_path / "rows.csv", index=False)
    words = [
        "dataset=table", f"dataset.path='{tmp_path / 'rows.csv'}'", "dataset.target=label", "model=linear",
        "trainer.max_epochs=1", f"runs_dir='{tmp_path}'",
    ]  # fmt: skip
    with pytest.raises(DataError) as raised:
        dlcli.train([*words, "baseline=trees"])
    assert any("resumed with baseline=none" in note for note in raised.value.__notes__)
    (folder,) = tmp_path.glob("rows/*/artifacts")
    with pytest.raises(ConfigError, match="can become baseline=none"):
        dlcli.resume(folder, ["baseline=auto"])
    resumed = dlcli.resume(folder, ["baseline=none"])
    assert "test/auroc" in resumed.metrics and not any(name.startswith("trees") for name in resumed.baselines)


def test_trees_are_refused_where_they_cannot_be_a_baseline() -> None:
    with pytest.raises(ConfigError, match="digits is image data"):
        dlcli.check(["baseline=trees"])

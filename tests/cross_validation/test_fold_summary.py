"""Metrics that are undefined on some folds, because their rows lack a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlcli
from dlcli.cross_validation.fold_summary import Summary
from dlcli.errors import ConfigError
from dlcli.result import Result
from dlcli.statistics.interval import UNDEFINED
from dlcli.terminal.console import Terminal
from dlcli.terminal.outcome import tell_outcome

RARE = 6


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A table of 60 rows, 6 of them positive, which one column tells apart."""
    file = tmp_path_factory.mktemp("rare") / "rare.csv"
    random = np.random.default_rng(0)
    positive = random.permutation(np.arange(60) < RARE)
    lines = [
        f"{10 * p + u:.3f},{'pos' if p else 'neg'}" for p, u in zip(positive, random.random(60), strict=True)
    ]
    file.write_text("\n".join(["a,y", *lines]))
    return [
        "dataset=table", f"dataset.path={file}", "dataset.target=y", "task=binary", "model=mlp", "model.hidden=8",
        "optimizer.lr=0.1", "trainer.max_epochs=30", "trainer.accelerator=cpu", "callbacks=none",
        "tracking.system_metrics=false", "cv=kfold", "cv.folds=10",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def result(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    return dlcli.train([*words, f"runs_dir='{tmp_path_factory.mktemp('runs')}'"])


def test_folds_without_a_positive_row_are_left_out_and_counted(result: Result) -> None:
    have = sum(fold.values["test/recall"] == fold.values["test/recall"] for fold in result.folds)
    assert 0 < have < 10
    metrics = result.values
    for name in ("precision", "recall", "f1", "balanced_accuracy", "auroc", "average_precision"):
        assert metrics[f"cv/{name}_mean"] == pytest.approx(1), name
        assert metrics[f"cv/{name}_defined_in"] == have, name
        assert metrics[f"cv/{name}_pooled"] == pytest.approx(1), name
        assert metrics.get(f"cv/{name}_ci95_high", 1) <= 1, name
    assert metrics["cv/accuracy_mean"] == metrics["cv/accuracy_pooled"] == 1
    assert "cv/accuracy_defined_in" not in metrics
    assert any(f"auroc and average_precision are defined in {have} of 10 folds" in m for m in result.messages)
    # Of whoever always says no: the mean over the folds that have both classes is what chance has.
    assert result.baselines["cv/balanced_accuracy_mean"] == 0.5


def test_metrics_that_some_folds_lack_are_not_pooled(words: list[str], tmp_path: Path) -> None:
    """No threshold is tuned where the validation rows lack a class, and no metrics at another one are computed."""
    more = ["task.tune_threshold=f1", "cv.folds=4", "trainer.max_epochs=2", f"runs_dir='{tmp_path}'"]
    result = dlcli.train([*words, *more])
    have = ["test/f1_untuned" in fold.values for fold in result.folds]
    assert any(have) and not all(have)
    assert "cv/f1_untuned_pooled" not in result.values
    assert 0 <= result.values["cv/f1_pooled"] <= 1


def test_the_sentence_names_what_folds_lack() -> None:
    """R2 of single rows, as in leave-one-out, is undefined in all folds, and has no mean."""
    r2, auroc = Summary({"r2": UNDEFINED}, {}, 6, 1, {"r2": 0}, {"r2": 0.9}), {"auroc": UNDEFINED}
    assert r2.undefined_sentence() == (
        "r2 is defined in 0 of 6 folds: the rows of each fold lack a class or a label, have a single value, or "
        "values that it does not take. Pooled values are on all held-out rows."
    )
    assert r2.metrics == {"cv/r2_pooled": 0.9, "cv/r2_defined_in": 0.0}
    assert Summary(auroc, {}, 6, 1, {"auroc": 2}, {}).undefined_sentence() == (
        "auroc is defined in 2 of 6 folds: the rows of the other folds lack a class or a label, have a single "
        "value, or values that it does not take. Means are over the folds that define them."
    )
    assert Summary(auroc, {}, 6, 1, {"auroc": 6}, {}).undefined_sentence() is None


def test_the_terminal_shows_the_number_of_folds(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        tell_outcome(terminal, result, json=False)
    told = capsys.readouterr().out
    header = next(line for line in told.splitlines() if "95% CI" in line)
    assert header.split()[:5] == ["mean", "std", "95%", "CI", "folds"]
    assert "pooled" in header


def test_a_monitored_metric_that_a_fold_cannot_have_is_refused_before_training(
    words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"val/auroc is undefined on the validation rows of [0-9]+ of 10 splits"
    ):
        dlcli.train([*words, "monitor=val/auroc", "mode=max", f"runs_dir='{tmp_path}'"])
    stopping = "callbacks.early_stopping"
    with pytest.raises(ConfigError, match=rf"{stopping}.monitor: val/recall is undefined on .* of 10 splits"):
        dlcli.train(
            [*words, "callbacks=default", f"{stopping}.monitor=val/recall", f"{stopping}.mode=max",
             f"runs_dir='{tmp_path}'"]
        )  # fmt: skip
    assert not list(tmp_path.rglob("ledger.json"))
    dlcli.train(
        [*words, "cv.folds=2", "cv.stratify=true", "cv.val_size=0.4", "monitor=val/auroc", "mode=max",
         "trainer.max_epochs=1", f"runs_dir='{tmp_path}'"]
    )  # fmt: skip

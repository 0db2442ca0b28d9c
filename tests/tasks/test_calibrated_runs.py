"""Runs whose probabilities are calibrated: the record, and every command that reads the saved model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import dlcli
from dlcli.exporting.exported_program import write_program
from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.predictions_file import all_predictions
from dlcli.inference.saved_model import load_model
from dlcli.prediction.coverage import with_coverage
from dlcli.result import Result
from dlcli.runs.ensembles import open_model
from dlcli.splits.split import Split
from dlcli.tasks.calibration import calibrated_facts
from dlcli.tracking.ledger import Ledger

# A network of many weights, trained long on few rows, is too sure.
OVERFIT = ["model=mlp", "model.hidden=64", "model.dropout=0", "optimizer.lr=0.02", "trainer.max_epochs=25"]
WORDS = [*OVERFIT, "monitor=train/loss", "callbacks=none", "trainer.accelerator=cpu", "cv.val_size=0.4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 20)).round(3)
    table = pd.DataFrame(x, columns=[f"x{column}" for column in range(20)])
    table["kind"] = np.where(x[:, 0] + random.normal(size=240) > 0, "dog", "cat")
    table.to_csv(folder / "pets.csv", index=False)
    return folder


def train(folder: Path, *words: str) -> Result:
    data = ["dataset=table", f"dataset.path='{folder}/pets.csv'", "dataset.target=kind"]
    return dlcli.train([*data, f"runs_dir='{folder}/runs'", *WORDS, *words])


@pytest.fixture(scope="module")
def plain(folder: Path) -> Result:
    return train(folder)


@pytest.fixture(scope="module")
def calibrated(folder: Path) -> Result:
    return train(folder, "task.calibrate=auto", "task.coverage=0.8")


def test_the_record_contains_the_improvement(plain: Result, calibrated: Result) -> None:
    figures = Ledger.load(calibrated.run_dir).metrics
    assert figures["calibration/log_loss_before"] == pytest.approx(plain.metrics["val/loss"], rel=1e-4)
    assert figures["calibration/log_loss_after"] < figures["calibration/log_loss_before"]
    assert figures["calibration/error_after"] < figures["calibration/error_before"]
    (message,) = [text for text in calibrated.messages if "it was not fitted on" in text]
    assert "on rows it was not fitted on: log loss" in message
    assert "validation rows" in message
    for part in ("val", "test"):
        assert calibrated.metrics[f"{part}/log_loss"] < plain.metrics[f"{part}/log_loss"]
        # Probabilities that were rounded to 1 tie without calibration.
        own, other = (result.metrics[f"{part}/auroc"] for result in (calibrated, plain))
        assert own == pytest.approx(other, abs=0.01)


def test_all_that_reads_the_model_sees_calibrated_probabilities(folder: Path, calibrated: Result) -> None:
    assert dlcli.evaluate(calibrated.run_dir).metrics["test/log_loss"] == pytest.approx(
        calibrated.metrics["test/log_loss"]
    )
    new = pd.read_csv(folder / "pets.csv")
    recorded = all_predictions(calibrated.run_dir).set_index("row")
    found = dlcli.load_run(calibrated.run_dir).predict(new).loc[recorded.index]
    np.testing.assert_allclose(found["p(dog)"], recorded["p(dog)"], atol=1e-6)


def test_the_exported_program_returns_calibrated_logits(
    folder: Path, calibrated: Result, tmp_path: Path
) -> None:
    model = load_model(calibrated.run_dir / "model")
    fields: Any = {
        name: values[:] for name, values in model.fields(pd.read_csv(folder / "pets.csv").head(40)).items()
    }
    halves = [{name: values[:7] for name, values in fields.items()}, fields]
    assert write_program(model.network, halves, tmp_path / "model.pt2") < 1e-4
    program = torch.export.load(tmp_path / "model.pt2").module()
    expected = model.predict(pd.read_csv(folder / "pets.csv").head(40))["p(dog)"]
    np.testing.assert_allclose(program(**fields).detach().sigmoid().flatten().numpy(), expected, atol=1e-5)


@pytest.fixture(scope="module")
def folds(folder: Path) -> Result:
    words = ["cv.folds=2", "cv.test_size=0.2", "cv.refit=true", "task.tune_threshold=f1"]
    return train(folder, "cv=stratified_kfold", "task.calibrate=temperature", *words)


def uncalibrated(run_dir: Path, new: pd.DataFrame) -> np.ndarray:
    """Return the logits of a run's model without its calibration, `(N,)`."""
    model = load_model(run_dir / "model")
    bare = replace(model, network=model.network.calibrated_by(None))
    return bare.outputs(new).double().flatten().numpy()


def test_folds_together_and_the_refitted_model_are_calibrated_on_held_out_rows(
    folder: Path, folds: Result
) -> None:
    new = pd.read_csv(folder / "pets.csv")
    rows, logits = [], []
    for fold in folds.folds:
        place = Split.load(fold.run_dir / "split.npz").test
        rows.append(place)
        logits.append(uncalibrated(fold.run_dir, new.iloc[place]))
    order = np.argsort(np.concatenate(rows))
    codes = (new["kind"].to_numpy()[np.sort(np.concatenate(rows))] == "dog").astype(np.int64)
    wanted = calibrated_facts(
        "temperature", torch.from_numpy(np.concatenate(logits)[order].reshape(-1, 1)).float(), codes
    )
    tuned = Ledger.load(folds.run_dir).result["tuned"]
    assert tuned["calibrated_by"] == wanted["calibrated_by"] == "temperature"
    ((scale,), _) = tuned["calibration"]
    assert scale == pytest.approx(wanted["calibration"][0][0], rel=1e-3)
    assert folds.to_json()["metrics"]["calibration/log_loss_after"] < tuned["calibration_scores"][0]
    (message,) = [text for text in folds.messages if "held out: probabilities calibrated" in text]
    assert "tuned_threshold" in message

    together = dlcli.load_run(folds.run_dir, use="folds")
    assert isinstance(together, Ensemble)
    assert together.task.threshold == tuned["tuned_threshold"]  # type: ignore[attr-defined]
    shares = [1 / (1 + np.exp(-scale * uncalibrated(fold.run_dir, new))) for fold in folds.folds]
    np.testing.assert_allclose(together.predict(new)["p(dog)"], np.mean(shares, axis=0), atol=1e-5)
    refitted = 1 / (1 + np.exp(-scale * uncalibrated(folds.run_dir, new)))
    np.testing.assert_allclose(dlcli.load_run(folds.run_dir).predict(new)["p(dog)"], refitted, atol=1e-5)
    assert dlcli.evaluate(folds.run_dir).metrics["test/f1"] == pytest.approx(folds.metrics["test/f1"])


def test_folds_that_an_ensemble_selects_are_calibrated_together(folder: Path, folds: Result) -> None:
    words = ["cv.folds=2", "cv.test_size=0.2", "task.tune_threshold=f1", "model.hidden=8"]
    other = train(folder, "cv=stratified_kfold", "task.calibrate=temperature", *words)
    made = dlcli.ensemble([str(folds.run_dir), str(other.run_dir)], runs_dir=folder / "runs")
    found = {one["run_id"]: one["tuned"] for one in Ledger.load(made.run_dir).result["members"]}
    assert found
    for run in (folds, other):
        scale = Ledger.load(run.run_dir).result["tuned"]["calibration"][0]
        own = [found[fold.run_id]["calibration"][0] for fold in run.folds if fold.run_id in found]
        assert own == [pytest.approx(scale, rel=1e-3)] * len(own)
    assert any("found on rows that its folds held out" in text for text in made.messages)
    again = dlcli.evaluate(made.run_dir).values
    assert again["test/log_loss"] == pytest.approx(made.metrics["test/log_loss"])


def test_rows_that_fitted_the_calibration_and_the_limits_are_reported(
    folder: Path, calibrated: Result, folds: Result
) -> None:
    (sentence,) = [text for text in calibrated.messages if "that are to cover 0.8" in text]
    assert "validation rows (which also fitted the calibration of the probabilities)" in sentence
    for run, use, method, wanted in (
        (calibrated, None, None, "which also chose the epoch and fitted the calibration"),
        (folds, "refit", None, "but also fitted the calibration"),
        (folds, "folds", "plus", "no share is guaranteed: the calibration of the probabilities was fitted"),
    ):
        opened = open_model(str(run.run_dir), folder / "runs", use=use)  # type: ignore[arg-type]
        assert wanted in with_coverage(opened, 0.8, method).notes[-1]  # type: ignore[arg-type]


def test_a_fold_by_itself_is_calibrated_by_its_own_validation_rows(folder: Path, folds: Result) -> None:
    new = pd.read_csv(folder / "pets.csv")
    for fold in folds.folds:
        own = load_model(fold.run_dir / "model").predict(new)["p(dog)"]
        np.testing.assert_allclose(dlcli.load_run(fold.run_dir).predict(new)["p(dog)"], own)
        recorded = all_predictions(fold.run_dir).set_index("row")
        np.testing.assert_allclose(own[recorded.index], recorded["p(dog)"], atol=1e-6)

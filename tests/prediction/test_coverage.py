"""Sets and intervals in the predictions of trained runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import ConfigError, DataError, InputError
from dlcli.inference.predictions_file import all_predictions
from dlcli.prediction.coverage import with_coverage
from dlcli.result import Result
from dlcli.runs.ensembles import open_model
from dlcli.serving.bodies import Body
from dlcli.serving.predictor import Answer, Predictor

QUICK = ["model=mlp", "model.hidden=4", "trainer.max_epochs=2", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coverage")
    random = np.random.default_rng(0)
    size = random.normal(size=300).round(3)
    kind = np.where(size + random.normal(size=300) > 0, "dog", "cat")
    pets = pd.DataFrame({"size": size, "kind": kind, "age": 100 + 50 * size + 20 * random.normal(size=300)})
    pets.to_csv(folder / "pets.csv", index=False)
    return folder


def train(folder: Path, target: str, *words: str) -> Result:
    dropped = "age" if target == "kind" else "kind"
    data = ["dataset=table", f"dataset.path='{folder}/pets.csv'", f"dataset.target={target}"]
    return dlcli.train([*data, f"dataset.drop=[{dropped}]", f"runs_dir='{folder}/runs'", *QUICK, *words])


@pytest.fixture(scope="module")
def classes(folder: Path) -> Result:
    return train(folder, "kind", "task.coverage=0.8")


@pytest.fixture(scope="module")
def folds(folder: Path) -> Result:
    return train(
        folder, "age", "cv=kfold", "cv.folds=3", "cv.test_size=0.2", "cv.refit=true", "task.coverage=0.8"
    )


def test_a_hold_out_is_calibrated_on_its_validation_rows(folder: Path, classes: Result) -> None:
    called = ["predict", str(classes.run_dir), str(folder / "pets.csv"), "--coverage", "0.8", "--json"]
    answer = CliRunner().invoke(app, called)
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    recorded = all_predictions(classes.run_dir)
    own = recorded[recorded["split"] == "val"]
    assert told["coverage"] == 0.8
    assert told["calibration_rows"] == len(own)
    assert "validation rows, which also chose the epoch" in " ".join(answer.stderr.split())
    right = np.where(own["target"] == "dog", own["p(dog)"], own["p(cat)"])
    limit = np.sort(1 - right)[int(np.ceil((len(own) + 1) * 0.8)) - 1]
    for line in told["predictions"]:
        shares = {"cat": line["p(cat)"], "dog": line["p(dog)"]}
        wanted = [name for name, p in shares.items() if 1 - p <= limit + 1e-7 or name == line["prediction"]]
        assert line["set"].split(",") == wanted


def test_a_refitted_model_and_the_folds_are_calibrated_on_held_out_rows(folder: Path, folds: Result) -> None:
    recorded = all_predictions(folds.run_dir)
    errors = np.sort(np.abs(recorded["target"] - recorded["prediction"]))
    width = errors[int(np.ceil((len(errors) + 1) * 0.9)) - 1]
    new = pd.read_csv(folder / "pets.csv")
    for use in ("folds", "refit"):
        found = dlcli.load_run(folds.run_dir, use=use, coverage=0.9).predict(new)
        np.testing.assert_allclose(found["high"] - found["prediction"], width)
        np.testing.assert_allclose(found["prediction"] - found["low"], width)
    assert "spread" in dlcli.load_run(folds.run_dir, use="folds", coverage=0.9).predict(new)


def test_intervals_of_folds_come_from_the_models_that_did_not_see_a_row(folder: Path, folds: Result) -> None:
    new = pd.read_csv(folder / "pets.csv")
    found = dlcli.load_run(folds.run_dir, use="folds", coverage=0.9, conformal="plus").predict(new)
    lows, highs = [], []
    for fold in folds.folds:
        table = all_predictions(fold.run_dir).query("split == 'held-out'")
        errors = np.abs(table["target"] - table["prediction"]).to_numpy()
        own = dlcli.load_run(fold.run_dir).predict(new)["prediction"].to_numpy()[:, None]
        lows.append(own - errors)
        highs.append(own + errors)
    low, high = (np.sort(np.concatenate(values, axis=1), axis=1) for values in (lows, highs))
    last = int(np.ceil((high.shape[1] + 1) * 0.9)) - 1
    np.testing.assert_allclose(found["high"], high[:, last], rtol=1e-5)
    np.testing.assert_allclose(found["low"], low[:, -1 - last], rtol=1e-5)
    measured = dlcli.evaluate(folds.run_dir, use="folds", coverage=0.9, conformal="plus")
    assert 0.75 < measured.metrics["test/conformal_coverage"] <= 1
    # 2 c - 1 - 2 (1 - 1 / K) / (n / K + 1) for n = 240 and K = 3
    told = "(CV+): about 0.9 is usual, and at least 0.783 is guaranteed if new rows are distributed like"
    assert any(told in text for text in measured.messages)
    opened = open_model(str(folds.run_dir), folder / "runs", use="folds")
    for section, value in (
        ("cv", {"_target_": "dlcli.splits.time_series.TimeSeries"}),
        ("dataset", {"group": "size"}),
    ):
        other = replace(opened, run=replace(opened.run, config={**opened.run.config, section: value}))
        assert "about 0.9 is usual; no share is guaranteed" in with_coverage(other, 0.9, "plus").notes[-1]
    with pytest.raises(InputError, match="is not a mean of the models of folds") as refused:
        dlcli.load_run(folds.run_dir, coverage=0.9, conformal="plus")
    assert "--use folds" in refused.value.problems[0].hint
    with pytest.raises(InputError, match="is a kind of sets and intervals"):
        dlcli.load_run(folds.run_dir, conformal="plus")


def test_training_measures_the_coverage(folder: Path, classes: Result, folds: Result) -> None:
    asked = dlcli.evaluate(classes.run_dir, coverage=0.8).values
    for name in ("conformal_coverage", "conformal_set_size"):
        assert classes.metrics[f"test/{name}"] == pytest.approx(asked[f"test/{name}"])
    (sentence,) = [text for text in classes.messages if "Prediction sets that are to cover 0.8" in text]
    assert (
        f"cover {classes.metrics['test/conformal_coverage']:.3f} of the targets of the test rows" in sentence
    )
    refitted = dlcli.evaluate(folds.run_dir, coverage=0.8).values
    assert folds.metrics["test/conformal_coverage"] == pytest.approx(refitted["test/conformal_coverage"])
    assert folds.metrics["test/conformal_width"] == pytest.approx(refitted["test/conformal_width"], rel=1e-6)
    of_folds = [fold.metrics["test/conformal_coverage"] for fold in folds.folds]
    assert folds.metrics["cv/conformal_coverage_mean"] == pytest.approx(np.mean(of_folds))
    with pytest.raises(ConfigError, match="needs at least 999 validation rows"):
        train(folder, "kind", "task.coverage=0.999")


def test_eval_measures_the_coverage_on_test_rows_and_on_a_file(folder: Path, folds: Result) -> None:
    result = dlcli.evaluate(folds.run_dir, use="folds", coverage=0.9)
    assert 0.75 < result.metrics["test/conformal_coverage"] <= 1
    assert any("single models were not trained on" in text for text in result.messages)
    data = str(folder / "pets.csv")
    both = dlcli.evaluate(folds.run_dir, use="folds", coverage=0.9, file=data)
    predicted = dlcli.predict(folds.run_dir, data, use="folds", coverage=0.9)
    assert predicted is not None
    age = pd.read_csv(data)["age"]
    assert both.metrics["test/conformal_coverage"] == pytest.approx(
        ((predicted["low"] <= age) & (age <= predicted["high"])).mean()
    )
    assert both.metrics["test/conformal_width"] == pytest.approx(
        (predicted["high"] - predicted["low"]).mean()
    )
    assert "test/conformal_coverage" not in dlcli.evaluate(folds.run_dir, use="folds").metrics


def test_test_rows_that_several_seeds_share_calibrate_nothing(folder: Path) -> None:
    seeds = train(folder, "kind", "cv.seeds=2")
    found = with_coverage(open_model(str(seeds.run_dir), folder / "runs"), 0.8)
    tables = [all_predictions(one.run_dir) for one in seeds.folds]
    shared = set.intersection(*(set(one.loc[one["split"] == "held-out", "row"]) for one in tables))
    assert shared
    assert not shared & set(found.calibration.tolist())
    dlcli.evaluate(seeds.run_dir, file=folder / "pets.csv", coverage=0.8)


def test_a_server_answers_with_sets(folder: Path, classes: Result) -> None:
    found = with_coverage(open_model(str(classes.run_dir), folder / "runs"), 0.8)
    body = Body(b'[{"size": 0.1}, {"size": 3}]', "application/json")
    (answer,) = Predictor(found.run, found.model).answer([body])
    assert isinstance(answer, Answer)
    wanted = dlcli.load_run(classes.run_dir, coverage=0.8).predict(pd.DataFrame({"size": [0.1, 3.0]}))
    assert [line["set"] for line in answer.predictions] == wanted["set"].tolist()


def test_runs_without_conformal_predictions_are_refused(classes: Result) -> None:
    with pytest.raises(DataError, match="are calibration rows"):
        dlcli.evaluate(classes.run_dir, "val", coverage=0.5)
    with pytest.raises(InputError, match=r"0\.999 needs at least 999 calibration rows"):
        dlcli.load_run(classes.run_dir, coverage=0.999)


def test_models_of_several_runs_are_calibrated_on_the_mean_of_their_predictions(
    folder: Path, classes: Result
) -> None:
    other = train(folder, "kind", "seed=3")
    both = f"{classes.run_id},{other.run_id}"
    found = dlcli.load_run(both, runs_dir=folder / "runs", coverage=0.8)
    tables = [
        all_predictions(one.run_dir).query("split == 'val'").set_index("row") for one in (classes, other)
    ]
    mean = (tables[0]["p(dog)"] + tables[1]["p(dog)"].loc[tables[0].index]) / 2
    scores = np.sort(np.where(tables[0]["target"] == "dog", 1 - mean, mean))
    assert found.conformal is not None
    assert found.conformal.limit == pytest.approx(  # type: ignore[union-attr]
        scores[int(np.ceil((len(scores) + 1) * 0.8)) - 1], abs=1e-6
    )

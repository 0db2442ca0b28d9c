"""Complete runs on series: training, comparison with naive forecasts, saving, forecasts from raw steps."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import ConfigError, DataError
from dlcli.formatting import number
from dlcli.result import Result
from dlcli.runner.export import bundle
from dlcli.tracking.ledger import Ledger
from tests.exporting.test_bundle import run_script

# A minimal model for each way of reading a window.
MODELS = {
    "mlp": ["model.hidden=8"],
    "gru": ["model.hidden=8"],
    "tcn": ["model.channels=[8]"],
    "transformer": ["model.hidden=8", "model.feedforward=8", "model.layers=1"],
    "patchtst": ["model.hidden=8", "model.feedforward=8", "model.layers=1"],
    "itransformer": ["model.hidden=8", "model.feedforward=8", "model.layers=1"],
    "segrnn": ["model.hidden=8", "model.segment=5"],
    "nhits": ["model.hidden=8"],
    "dlinear": [],
    "nlinear": [],
}


def of(path: Path, lookback: int = 16, horizon: int = 4) -> list[str]:
    windows = [f"dataset.lookback={lookback}", f"dataset.horizon={horizon}"]
    return ["dataset=series", f"dataset.path='{path}'", *windows, "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 240 hours of two waves, and a flag that predicts a jump of the first."""
    steps = np.arange(240)
    flag = (steps % 19 == 0).astype(float)
    noise = np.random.default_rng(0).normal(scale=0.1, size=(2, 240))
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=240, freq="h").astype(str),
            "tide": 100 + 10 * np.sin(steps * np.pi / 12) + 8 * flag + noise[0],
            "wind": np.cos(steps * np.pi / 12) + noise[1],
            "flag": flag,
        }
    )
    file = tmp_path_factory.mktemp("waves") / "waves.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def trained(waves: Path) -> Result:
    """Return a run of a linear forecast of the tide, with a flag that is known ahead."""
    plain = ["model=linear", "dataset.target=tide", "dataset.known=[flag]", "optimizer.lr=0.02"]
    return dlcli.train([*of(waves), *plain, "trainer.max_epochs=60", f"runs_dir='{waves.parent / 'runs'}'"])


def test_it_beats_the_naive_forecasts(trained: Result) -> None:
    assert trained.values["test/mase"] < trained.baselines["test/mase"]
    assert trained.values["test/mae"] < 0.5 * trained.baselines["naive/test/mae"]
    assert (trained.run_dir / "plots" / "forecast.png").exists()
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv")
    assert breakdown[breakdown.split == "final test"].step.tolist() == [1, 2, 3, 4]
    (said,) = [message for message in trained.messages if "baseline" in message]
    assert said.startswith(
        "The baseline in the table repeats the values of 24 steps ago. The naive baseline, which "
    )
    worth = trained.baselines
    figures = f"test/mae {number(worth['naive/test/mae'])}, test/rmse {number(worth['naive/test/rmse'])}."
    assert said.endswith(f"repeats the last value, has {figures}")


def test_the_saved_model_repeats_the_metrics(trained: Result) -> None:
    again = dlcli.evaluate(str(trained.run_dir))
    assert {name: trained.values[name] for name in again.values} == again.values


def test_the_saved_model_forecasts_from_raw_steps(trained: Result, waves: Path) -> None:
    steps = pd.read_csv(waves)
    predictions = pd.read_parquet(trained.run_dir / "predictions.parquet")
    one = predictions[predictions.row == predictions.row.max()]
    assert one.time.dt.strftime("%Y-%m-%d %H:%M:%S").tolist() == steps.when.tail(4).tolist()
    steps.loc[236:, ["tide", "wind"]] = np.nan  # the values to forecast are not available yet
    forecast = dlcli.load_run(str(trained.run_dir)).predict(steps)
    assert np.allclose(forecast["prediction"], one["prediction"], rtol=1e-5)
    assert forecast["step"].tolist() == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra onnx")
def test_a_bundle_forecasts_the_same(trained: Result, waves: Path, tmp_path: Path) -> None:
    made = bundle(str(trained.run_dir), tmp_path / "made")
    assert made.rows > 4 and made.largest_difference < 1e-2
    steps = pd.read_csv(waves)
    steps.loc[236:, ["tide", "wind"]] = np.nan
    steps.to_csv(tmp_path / "new.csv", index=False)
    found = pd.read_csv(io.StringIO(run_script(made.folder, str(tmp_path / "new.csv")).stdout))
    expected = dlcli.predict(trained.run_dir, tmp_path / "new.csv")
    assert expected is not None
    assert found["step"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found["prediction"], expected["prediction"], rtol=1e-4)
    steps.drop(index=100)[:17].to_csv(tmp_path / "few.csv", index=False)
    failed = run_script(made.folder, str(tmp_path / "few.csv"))
    assert failed.stderr.strip().endswith("has 17 steps, the model needs 20")
    steps[["when", "tide"]].to_csv(tmp_path / "few.csv", index=False)
    assert "lacks wind, flag" in run_script(made.folder, str(tmp_path / "few.csv")).stderr


@pytest.mark.parametrize("model", MODELS)
def test_every_model_forecasts(model: str, waves: Path) -> None:
    """Three targets share the weights, and the model as it was saved forecasts from raw steps."""
    result = dlcli.train([*of(waves), f"model={model}", *MODELS[model], "trainer.max_epochs=1"])
    assert result.values["test/mse"] > 0
    # Only keys that can be set, not what follows from the model.
    said = Ledger.load(result.run_dir).about["panel"]["preprocessing"]
    assert said.startswith("Series with channels=auto, fitted on ")
    predictions = pd.read_parquet(result.run_dir / "predictions.parquet")
    last = predictions[predictions.row == predictions.row.max()]
    forecast = dlcli.load_run(str(result.run_dir)).predict(pd.read_csv(waves)[:236])
    for name in ("tide", "wind", "flag"):
        column = f"prediction({name})"
        assert np.allclose(forecast[column], last[column], rtol=1e-4, atol=1e-4)


def test_folds_in_time_have_forecasts_and_explanations(waves: Path) -> None:
    plain = ["model=linear_forecast", "dataset.target=[tide, wind]", "trainer.max_epochs=1"]
    result = dlcli.train([*of(waves), *plain, "cv=time_series", "cv.folds=2"])
    assert len(result.folds) == 2
    assert (result.run_dir / "plots" / "forecast.png").exists()
    assert "blocks of windows" in " ".join(dlcli.explain(result.run_dir, rows=20, repeats=2).messages)
    predictions = pd.read_parquet(result.run_dir / "predictions.parquet")
    assert set(predictions.columns) >= {"fold", "time", "step", "target(tide)", "prediction(wind)"}


def test_several_series_and_a_later_file(waves: Path) -> None:
    """Two harbours in one file, and a later file that continues them."""
    steps = pd.read_csv(waves).drop(columns="flag")
    both = pd.concat([steps.assign(harbour=name) for name in ("north", "south")]).sort_values("when")
    both.loc[both.harbour == "south", ["tide", "wind"]] *= -5
    both.iloc[:380].to_csv("first.csv", index=False)
    both.iloc[380:].to_csv("later.csv", index=False)
    data = ["dataset.id=harbour", "dataset.test_path=later.csv", "dataset.target=tide", "dataset.season=24"]
    result = dlcli.train([*of(Path("first.csv")), *data, "model=linear", "trainer.max_epochs=2"])
    predictions = pd.read_parquet(result.run_dir / "predictions.parquet")
    last = predictions[predictions.row.isin(predictions.groupby("series").row.max())]
    assert last.series.tolist() == ["north"] * 4 + ["south"] * 4
    assert last.time.astype(str).tolist() == steps.when.tail(4).tolist() * 2
    assert set(last.split) == {"final test"}
    breakdown = pd.read_csv(result.run_dir / "breakdown.csv")
    tests = predictions[predictions.split == "final test"]
    error = (tests.prediction - tests.target).abs().groupby(tests.step).mean()
    assert np.allclose(breakdown[breakdown.split == "final test"].mae, error, rtol=1e-4)
    day = both.set_index(["harbour", "when"]).tide.groupby("harbour").shift(24)
    naive = day.loc[list(zip(tests.series, tests.time.astype(str), strict=True))].to_numpy()
    assert result.baselines["test/mae"] == pytest.approx(np.abs(naive - tests.target).mean(), rel=1e-4)
    assert dlcli.evaluate(str(result.run_dir)).values["test/mae"] == result.values["test/mae"]

    model = dlcli.load_run(str(result.run_dir))
    known = both[both.when <= sorted(set(both.when))[-5]]
    found = model.predict(known)
    assert np.allclose(found.prediction, last.prediction, rtol=1e-5)
    assert np.allclose(
        model.predict(known[known.harbour == "south"]).prediction, found.prediction[4:], rtol=1e-5
    )
    with pytest.raises(
        DataError, match=r"new data: series south: a forecast needs 16 steps .* but got 3 steps"
    ):
        model.predict(pd.concat([known[known.harbour == "north"], known[known.harbour == "south"].tail(3)]))


def test_a_shorter_file_is_evaluated_with_the_lookback_of_training(waves: Path) -> None:
    words = [word for word in of(waves) if not word.startswith("dataset.lookback")]
    result = dlcli.train([*words, "model=linear_forecast", "trainer.max_epochs=1"])
    pd.read_csv(waves).tail(60).to_csv(
        "later.csv", index=False
    )  # which by itself allows a lookback of 24 only
    found = dlcli.evaluate(str(result.run_dir), file="later.csv")
    assert found.values["test/mae"] > 0


def test_a_series_is_checked(waves: Path) -> None:
    done = CliRunner().invoke(app, ["check", *of(waves), "model=linear_forecast"])
    assert done.exit_code == 0, done.output
    assert "No mistake was found" in done.output


def test_a_forecast_of_several_quantiles(waves: Path) -> None:
    several = ["task/loss=quantile", "task.loss.quantiles=[0.1,0.5,0.9]", "dataset.target=[tide, wind]"]
    model = ["model=linear_forecast", "optimizer.lr=0.02", "trainer.max_epochs=5"]
    result = dlcli.train([*of(waves), *model, *several])
    assert result.values["test/pinball"] < result.baselines["naive/test/pinball"]
    assert 0.3 < result.values["test/coverage"] <= 1
    breakdown = pd.read_csv(result.run_dir / "breakdown.csv")
    assert {"coverage", "interval_width", "below q0.1"} < set(breakdown.columns)
    predictions = pd.read_parquet(result.run_dir / "predictions.parquet")
    assert (predictions["q0.1(tide)"] <= predictions["prediction(tide)"]).all()
    last = predictions[predictions.row == predictions.row.max()]
    forecast = dlcli.load_run(str(result.run_dir)).predict(pd.read_csv(waves)[:236])
    for name in ("prediction(tide)", "q0.1(wind)", "q0.9(wind)"):
        assert np.allclose(forecast[name], last[name], rtol=1e-4, atol=1e-4)
    again = dlcli.evaluate(str(result.run_dir))
    assert {name: result.values[name] for name in again.values} == again.values


def test_a_refit_trains_on_windows_between_the_parts(waves: Path) -> None:
    words = [*of(waves), "dataset.test_steps=8", "model=linear_forecast", "trainer.max_epochs=1"]
    result = dlcli.train([*words, "cv.refit=true"])
    (said,) = [message for message in result.messages if "rows between them" in message]
    numbers = re.search(
        r"on the (\d+) train and val rows and (\d+) rows between them .* on 5 final test rows", said
    )
    assert numbers is not None
    # The first forecast starts after 16 steps, the last one ends before the 8 last steps.
    assert [int(number) for number in numbers.groups()] == [240 - 16 - 8 - 3 - 3, 3]


def test_leaking_splits_are_rejected(waves: Path) -> None:
    with pytest.raises(DataError, match="forecast the same steps"):
        dlcli.train([*of(waves), "model=linear", "cv=kfold"])


def test_a_model_that_does_not_accept_series_is_rejected(waves: Path) -> None:
    with pytest.raises(ConfigError, match="CNN takes audio or image data"):
        dlcli.train([*of(waves), "model=cnn"])


@pytest.mark.slow
def test_etth1_as_in_the_literature(shared_data: Path) -> None:
    path = shared_data / "timeseries" / "ETTh1.csv"
    result = dlcli.train(
        [
            "experiment=etth1_linear",
            f"dataset.path='{path}'",
            "trainer.max_epochs=4",
            "trainer.accelerator=cpu",
        ]
    )
    assert result.values["test/mse"] <= 0.40
    assert result.baselines["test/mse"] == pytest.approx(0.5122, abs=1e-3)


def test_airline_passengers(shared_data: Path) -> None:
    path = shared_data / "timeseries" / "airline-passengers.csv"
    plain = ["model=linear_forecast", "optimizer.lr=0.02", "trainer.max_epochs=100"]
    result = dlcli.train([*of(path, 24, 12), *plain])
    assert result.values["test/mase"] < result.baselines["test/mase"] < result.baselines["naive/test/mase"]

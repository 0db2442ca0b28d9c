"""Complete runs on series that are shorter than a lookback: training, evaluation, forecasts and bundles."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.runner.export import bundle
from dlcli.tracking.ledger import Ledger
from tests.exporting.test_bundle import run_script

LENGTHS = {"north": 60, "south": 21, "west": 11}


def shops(file: str = "shops.csv") -> pd.DataFrame:
    """Write series of 60, 21 and 11 days, with a column that is known ahead."""
    random, frames = np.random.default_rng(0), []
    for name, steps in LENGTHS.items():
        days = np.arange(steps)
        sold = 50 + 9 * np.sin(days * 2 * np.pi / 7) + random.normal(size=steps)
        when = pd.date_range("2024-01-01", periods=steps).astype(str)
        frames.append(pd.DataFrame({"shop": name, "day": when, "sold": sold, "open": days % 7 != 6}))
    frame = pd.concat(frames, ignore_index=True).astype({"open": int})
    frame.to_csv(file, index=False)
    return frame


WORDS = [
    "dataset=series", "dataset.path=shops.csv", "dataset.id=shop", "dataset.target=sold", "dataset.lookback=21",
    "dataset.min_lookback=5", "dataset.horizon=2", "dataset.test_steps=2", "trainer.max_epochs=2",
    "trainer.accelerator=cpu", "preprocessing.deseasonalize=true", "preprocessing.relative=revin",
]  # fmt: skip


@pytest.mark.parametrize("words", [["model=mlp"], ["model=linear_forecast", "preprocessing.log=true"]])
def test_short_series_are_trained_on_tested_and_forecast(words: list[str]) -> None:
    steps = shops()
    result = dlcli.train([*WORDS, *words])
    predictions = pd.read_parquet(result.run_dir / "predictions.parquet")
    tested = predictions[predictions.split == "final test"]
    assert tested.series.tolist() == [name for name in LENGTHS for _ in range(2)]
    assert np.isfinite(predictions.prediction).all()
    # Origins from 5 steps on, of which those before 21 have a shorter history.
    assert "34 of 71 windows with 5 to 20 past steps, padded to 21" in " ".join(
        Ledger.load(result.run_dir).about["panel"].values()
    )
    again = dlcli.evaluate(str(result.run_dir))
    assert {name: result.values[name] for name in again.values} == again.values
    earlier = steps[steps.groupby("shop").cumcount(ascending=False) >= 2]
    forecast = dlcli.load_run(str(result.run_dir)).predict(earlier)
    np.testing.assert_allclose(forecast.prediction, tested.prediction, rtol=1e-4)
    # No other series changes a forecast.
    alone = dlcli.load_run(str(result.run_dir)).predict(earlier[earlier.shop == "west"])
    np.testing.assert_allclose(alone.prediction, tested.prediction[4:], rtol=1e-4)


def test_a_forecast_tells_which_series_are_padded_and_which_are_too_short() -> None:
    steps = shops()
    result = dlcli.train([*WORDS, "model=mlp"])
    few = steps[(steps.shop != "west") | (steps.groupby("shop").cumcount() < 4)]
    few[few.groupby("shop").cumcount() < 30].drop(index=20 + 60).to_csv("few.csv", index=False)
    with pytest.warns(UserWarning, match="1 series is too short for a forecast, which needs 5 steps: west"):
        found = dlcli.predict(result.run_dir, "few.csv")
    assert found is not None and found["shop"].unique().tolist() == ["north", "south"]
    (said,) = [one["text"] for one in found.attrs["notices"] if one["key"] == "padded_series"]
    assert said == "1 series is shorter than the lookback of 21 steps, and padded: south"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra onnx")
def test_a_bundle_pads_series_as_well(tmp_path: Path) -> None:
    steps = shops()
    result = dlcli.train([*WORDS, "model=mlp", "dataset.known=[open]", "preprocessing.log=true"])
    made = bundle(str(result.run_dir), tmp_path / "made")
    assert made.largest_difference < 1e-2
    late = steps.groupby("shop").cumcount(ascending=False) < 2
    steps.loc[late, "sold"] = np.nan
    steps.to_csv(tmp_path / "new.csv", index=False)
    found = pd.read_csv(io.StringIO(run_script(made.folder, str(tmp_path / "new.csv")).stdout))
    expected = dlcli.predict(result.run_dir, tmp_path / "new.csv")
    assert expected is not None
    np.testing.assert_allclose(found["prediction"], expected["prediction"], rtol=1e-4)
    steps[steps.shop == "west"].tail(6).to_csv(tmp_path / "few.csv", index=False)
    assert run_script(made.folder, str(tmp_path / "few.csv")).stderr.strip().endswith("the model needs 7")
    # As in `predict`, one of them does not stop the others.
    few = steps[(steps.shop != "west") | (steps.groupby("shop").cumcount() < 4)]
    few.to_csv(tmp_path / "few.csv", index=False)
    ran = run_script(made.folder, str(tmp_path / "few.csv"))
    assert pd.read_csv(io.StringIO(ran.stdout))["shop"].unique().tolist() == ["north", "south"]
    assert [line.partition(": ")[2] for line in ran.stderr.splitlines()] == [
        "1 of 3 series are too short for a forecast, which needs 7 steps, and left out: west",
        "1 of 2 series are shorter than the lookback of 21 steps, and padded: south",
    ]

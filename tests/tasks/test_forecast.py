"""The forecast task: units, metrics, naive baselines, tables and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from dlcli.datasets.data import Data
from dlcli.datasets.windows import History, Windows
from dlcli.tasks.facts import naive_error, naive_forecast, target_facts
from dlcli.tasks.forecast import Forecast
from dlcli.tasks.losses import MSE
from dlcli.training.scores import Scores

STEPS, LOOKBACK, HORIZON, SEASON = 80, 10, 5, 4


def a_series(season: int = SEASON) -> Data:
    rng = np.random.default_rng(0)
    wave = np.tile([0.0, 3.0, 1.0, -2.0], STEPS // 4)
    values = np.stack([wave + rng.normal(size=STEPS), 5000 + 40 * rng.normal(size=STEPS)], axis=1)
    origins = np.arange(LOOKBACK, STEPS - HORIZON + 1)
    return Data(
        "some",
        "sequence",
        History(values, origins, HORIZON, ("a", "b"), LOOKBACK, targets=2, season=season),
        Windows(values, origins, HORIZON, np.arange(STEPS)),
        targets=("a", "b"),
        times=origins,
        reach=HORIZON - 1,
    )


def task_of(data: Data, rows: int = 40, **arguments: bool) -> Forecast:
    return Forecast(**target_facts(data, np.arange(rows)), loss=MSE(), **arguments)


def scores(task: Forecast, outputs: torch.Tensor, y: Windows) -> dict[str, float]:
    found = Scores(task)
    found.update(outputs, task.encode(y)[:])
    return found.compute()


def test_the_facts_are_those_of_the_training_part() -> None:
    data = a_series()
    facts = target_facts(data, np.arange(40))
    seen = data.x.values[: LOOKBACK + 39 + HORIZON]
    assert np.allclose(facts["target_mean"], seen.mean(axis=0))
    assert np.allclose(facts["target_std"], seen.std(axis=0))
    assert np.allclose(facts["naive_error"], np.abs(seen[SEASON:] - seen[:-SEASON]).mean(axis=0))
    assert (facts["horizon"], facts["season"]) == (HORIZON, SEASON)


def test_naive_forecasts_repeat_the_last_season_or_value() -> None:
    data = a_series()
    values, origin = data.x.values, int(data.x.origins[7])
    assert (naive_forecast(data.x)[7] == values[origin - 1]).all()
    again = naive_forecast(data.x, SEASON)[7]
    assert (again == values[[origin - 4, origin - 3, origin - 2, origin - 1, origin - 4]]).all()
    # Before the first complete season only the last value is available.
    assert (naive_forecast(data.x, LOOKBACK + 1)[0] == values[LOOKBACK - 1]).all()
    assert np.isnan(naive_error(History(values[:8], np.array([4]), 4, ("a", "b"), 4, 2, season=9))).all()


def test_metrics_are_in_the_user_s_unit() -> None:
    data = a_series()
    task, y = task_of(data), data.y[40:60]
    outputs = torch.randn(20, HORIZON * 2, generator=torch.Generator().manual_seed(0))
    found = scores(task, outputs, y)
    mean, std = data.x[:40].scale()
    predicted = outputs.numpy().reshape(20, HORIZON, 2) * std + mean
    error = predicted - y.numpy()
    assert found["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert found["mse"] == pytest.approx((error**2).mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean(axis=(0, 1))).mean(), rel=1e-5)
    mase = np.abs(error).mean(axis=(0, 1)) / naive_error(data.x[:40])
    assert found["mase"] == pytest.approx(mase.mean(), rel=1e-5)
    assert found["loss"] == pytest.approx(((error / std) ** 2).mean(), rel=1e-5)


def test_scaled_metrics_count_deviations() -> None:
    data = a_series()
    plain, scaled = task_of(data), task_of(data, scaled_metrics=True)
    y, outputs = data.y[40:60], torch.zeros(20, HORIZON * 2)
    found = scores(scaled, outputs, y)
    assert found["mse"] == pytest.approx(found["loss"], rel=1e-6)
    assert found["mase"] == pytest.approx(scores(plain, outputs, y)["mase"], rel=1e-5)
    assert np.allclose(scaled.predictions(outputs), plain.predictions(outputs))


def test_the_naive_forecasts_are_the_baselines() -> None:
    data = a_series()
    task = task_of(data)
    guesses = task.baselines(data.x[40:60])
    assert list(guesses) == ["", "naive"]
    judge, outputs = guesses[""]
    error = naive_forecast(data.x[40:60], SEASON) - data.y[40:60].numpy()
    assert scores(judge, outputs, data.y[40:60])["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert list(task_of(a_series(season=1)).baselines(data.x[40:60])) == [""]


def test_tables_have_a_line_for_each_step() -> None:
    data = a_series()
    task, y = task_of(data), data.y[[40, 50]]
    predictions = task.predictions(task.encode(y)[:].flatten(1))
    assert predictions["step"].tolist() == [1, 2, 3, 4, 5] * 2
    targets = task.targets(y)
    assert targets["time"].tolist() == [*range(50, 55), *range(60, 65)]
    assert np.allclose(predictions["prediction(b)"], targets["target(b)"])
    table = task.breakdown(task.baselines(data.x[[40, 50]])["naive"][1], y)
    assert len(table) == HORIZON * 2
    line = table[(table.target == "a") & (table.step == 3)].iloc[0]
    error = np.abs(naive_forecast(data.x[[40, 50]]) - y.numpy())[:, 2, 0].mean()
    assert line.mae == pytest.approx(error, rel=1e-4)
    assert line.mase == pytest.approx(error / naive_error(data.x[:40])[0], rel=1e-4)


@pytest.mark.parametrize(
    "times",
    [np.arange(STEPS), pd.date_range("2024", periods=STEPS, freq="h").to_numpy()],
    ids=["numbers", "dates"],
)
def test_pictures_are_drawn(times: np.ndarray) -> None:
    data = a_series()
    task = task_of(data)
    y = Windows(data.y.values, data.y.origins, HORIZON, times)[40:60]
    pictures = dict(task.pictures(torch.zeros(20, HORIZON * 2), y))
    assert list(pictures) == ["forecast", "error_by_step"]
    truth, forecast = pictures["forecast"].axes[0].get_lines()[-2:]
    assert len(truth.get_xdata()) == len(forecast.get_xdata()) == HORIZON + 1

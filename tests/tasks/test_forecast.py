"""The forecast task: units, metrics, naive baselines, tables and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets.data import Data
from dlcli.datasets.windows import History, Stretches, Windows
from dlcli.reports.forecast_plots import following_rows, forecasts
from dlcli.reports.style import PALETTE
from dlcli.tasks.facts import (
    level_before,
    naive_error,
    naive_error_before,
    naive_forecast,
    target_facts,
)
from dlcli.tasks.forecast import Forecast
from dlcli.tasks.losses import MAE, MSE, Quantile
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
    assert list(pictures) == ["forecast", "one_forecast", "error_by_step"]
    truth, forecast = pictures["one_forecast"].axes[0].get_lines()[-2:]
    assert len(truth.get_xdata()) == len(forecast.get_xdata()) == HORIZON + 1
    one = dict(task.pictures(torch.zeros(HORIZON, HORIZON * 2), y[:HORIZON]))
    assert list(one) == ["forecast", "error_by_step"]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 5), st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_forecasts_that_follow_each_other_are_of_one_series_and_do_not_overlap(
    draw: st.DataObject, horizon: int, lengths: list[int]
) -> None:
    sizes = [length + horizon for length in lengths]
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    origins = np.concatenate(
        [begin + np.arange(length + 1) for begin, length in zip(begins, lengths, strict=True)]
    )
    kept = draw.draw(st.lists(st.sampled_from(origins.tolist()), min_size=1, unique=True))  # in any order
    names = tuple(f"s{number}" for number in range(len(lengths)))
    steps = np.arange(sum(sizes))
    y = Windows(steps[:, None] * 1.0, np.array(kept), horizon, steps, stretches=Stretches(begins, names, "s"))
    row = len(y) // 2
    rows, number = following_rows(y, row)
    chosen = y.origins[rows]
    assert (np.diff(chosen) >= horizon).all()
    assert set(y[rows].series) == {y.series[row]}
    assert len(rows) <= number
    same = np.sort(y.origins[y.series == y.series[row]])
    if len(rows) == number:  # no further forecast would fit between them
        assert all((np.abs(origin - chosen) < horizon).any() for origin in same)
    values = np.repeat(y.numpy()[..., None], 2, axis=-1)
    figure = forecasts(y, y.numpy(), ["v"], (values, (0.1, 0.9)), rolling=True)
    drawn = [line for line in figure.axes[0].get_lines() if line.get_color() == PALETTE[1]]
    assert [line.get_ydata()[-1] for line in drawn] == (chosen + horizon - 1).tolist()
    assert len(figure.axes[0].collections) == len(rows)


def many_series() -> Data:
    """Return windows of a short, a long and a constant series of very different size."""
    rng = np.random.default_rng(1)
    parts = [10 + rng.normal(size=20), 1e6 + 1e5 * rng.normal(size=30), np.full(18, 5.0)]
    begins = np.array([0, 20, 50])
    stretches = Stretches(begins, ("a", "b", "c"), "id")
    values = np.concatenate(parts)[:, None]
    origins = np.concatenate([np.arange(b + 6, b + len(p) - 2) for b, p in zip(begins, parts, strict=True)])
    return Data(
        "many",
        "sequence",
        History(values, origins, 3, ("v",), 6, targets=1, season=SEASON, stretches=stretches),
        Windows(values, origins, 3, np.arange(68), stretches=stretches),
        targets=("v",),
        times=origins,
        reach=2,
    )


def test_each_series_has_its_own_naive_error_before_the_forecast() -> None:
    data = many_series()
    found = naive_error_before(data.y, SEASON)
    for row, origin in enumerate(data.y.origins):
        own = data.y.values[data.y.stretches.begin(np.array([origin]))[0] : origin, 0]
        assert found[row, 0] == pytest.approx(np.abs(own[SEASON:] - own[:-SEASON]).mean(), rel=1e-6)
        assert level_before(data.y)[row, 0] == pytest.approx(np.abs(own).mean())
    later = data.y.values.copy()
    later[int(data.y.origins[3]) : 20] = 99  # what is forecast
    changed = Windows(later, data.y.origins, 3, data.y.times, stretches=data.y.stretches)
    assert (naive_error_before(changed, SEASON)[:4] == found[:4]).all()
    assert np.isnan(naive_error_before(data.y, 50)).all()


def test_a_small_series_counts_as_much_as_a_large_one() -> None:
    steps = np.arange(20)
    small = 1e-9 * (steps % 5)
    values = np.concatenate([1e9 + 1e7 * (steps % 3), small])[:, None]
    y = Windows(
        values, np.array([12, 32]), 3, np.arange(40), stretches=Stretches(np.array([0, 20]), ("a", "b"))
    )
    assert naive_error_before(y, SEASON)[1] == pytest.approx(np.abs(small[4:12] - small[:8]).mean(), abs=0)
    assert level_before(y)[1] == pytest.approx(small[:12].mean(), abs=0)


def test_errors_of_the_competitions() -> None:
    data = many_series()
    facts = target_facts(data, np.arange(len(data)))
    assert Forecast(**facts, loss=MAE()).scale_loss == "none"  # as of earlier versions, which lack the key
    task = Forecast(**facts, loss=MAE(), scale_loss=None)
    assert task.scale_loss == "naive"
    assert "each series" in task.scales()["mase"]["unit"]
    assert "unit" not in task_of(a_series()).scales()["mase"]
    outputs = torch.randn(len(data), 3, generator=torch.Generator().manual_seed(0)) / 10
    found = scores(task, outputs, data.y)
    mean, std = data.x.scale()
    predicted, y = outputs.double().numpy()[..., None] * std + mean, data.y.numpy()
    assert found["smape"] == pytest.approx(
        (200 * np.abs(predicted - y) / (np.abs(predicted) + np.abs(y))).mean()
    )
    naive = naive_error_before(data.y, SEASON)[:, None]
    errors = (np.abs(predicted - y) / np.where(naive > 0, naive, np.nan))[naive[:, 0, 0] > 0]
    assert found["mase"] == pytest.approx(errors.mean(), rel=1e-4)
    steps = task.breakdown(outputs, data.y)
    assert steps.mase.to_numpy() == pytest.approx(errors.mean(axis=0)[:, 0], rel=1e-4)
    constant = np.abs(predicted - y)[naive[:, 0, 0] == 0] / std
    assert found["loss"] == pytest.approx(np.concatenate([errors, constant]).mean(), rel=1e-4)


def test_an_almost_constant_series_does_not_dominate_the_loss() -> None:
    data = many_series()
    values = data.y.values.copy()
    values[51] += 1e-9  # of the series that is constant
    y = Windows(values, data.y.origins, 3, data.y.times, stretches=data.y.stretches)[-1:]
    task = Forecast(**target_facts(data, np.arange(len(data))), loss=MAE(), scale_loss=None)
    encoded = task.encode(y)[:]
    std = float(data.x.scale()[1][0])
    outputs = encoded[:, :3].flatten(1) + 5.0 / std  # an error as large as the level
    assert float(task.loss(outputs, encoded)) == pytest.approx(1e4, rel=0.01)


def test_the_loss_may_be_in_shares_of_the_level() -> None:
    data = many_series()
    task = Forecast(**target_facts(data, np.arange(len(data))), loss=MAE(), scale_loss="level")
    outputs = torch.zeros(len(data), 3)
    error = np.abs(data.x.scale()[0] - data.y.numpy()) / level_before(data.y)[:, None]
    assert scores(task, outputs, data.y)["loss"] == pytest.approx(error.mean(), rel=1e-5)
    assert task.describe().endswith(
        "loss MAE in shares of each series' level, baseline: the values of 4 steps ago"
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_the_breakdown_of_quantiles_has_the_unit_of_the_metrics(scaled: bool) -> None:
    data = a_series()
    facts = target_facts(data, np.arange(40))
    task = Forecast(**facts, loss=Quantile((0.1, 0.5, 0.9)), scaled_metrics=scaled)
    y, outputs = data.y[40:60], torch.randn(20, HORIZON * 2 * 3, generator=torch.Generator().manual_seed(0))
    steps, found = task.breakdown(outputs, y), scores(task, outputs, y)
    for name in ("pinball", "coverage", "interval_width"):
        assert steps[name].mean() == pytest.approx(found[name], rel=1e-4)


def test_quantiles_of_each_step() -> None:
    data = a_series()
    levels = (0.1, 0.5, 0.9)
    task = Forecast(**target_facts(data, np.arange(40)), loss=Quantile(levels))
    assert task.num_outputs == HORIZON * 2 * 3
    y, outputs = data.y[40:60], torch.randn(20, HORIZON * 2 * 3, generator=torch.Generator().manual_seed(0))
    table, found = task.predictions(outputs), scores(task, outputs, y)
    mean, std = data.x[:40].scale()
    values = (
        np.sort(outputs.double().numpy().reshape(20, HORIZON, 2, 3), axis=-1) * std[:, None] + mean[:, None]
    )
    for name, index in {"q0.1": 0, "prediction": 1, "q0.5": 1, "q0.9": 2}.items():
        assert np.allclose(table[f"{name}(b)"], values[:, :, 1, index].reshape(-1))
    actual = y.numpy()[..., None]
    error = actual - values
    assert found["pinball"] == pytest.approx(
        np.maximum(np.array(levels) * error, (np.array(levels) - 1) * error).mean(), rel=1e-5
    )
    covered = (values[..., 0] <= y.numpy()) & (y.numpy() <= values[..., 2])
    assert found["coverage"] == pytest.approx(covered.mean())
    steps = task.breakdown(outputs, y)
    assert steps.coverage.to_numpy() == pytest.approx(covered.mean(axis=0).reshape(-1))
    unsorted = outputs.reshape(20, HORIZON * 2, 3)
    expected = Quantile(levels)(unsorted.flatten(1), task.encode(y)[:].flatten(1))
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)
    (bands,) = {len(ax.collections) for ax in dict(task.pictures(outputs, y))["one_forecast"].axes}
    assert bands == 1


def test_the_baseline_of_each_series_has_quantiles_of_its_own_size() -> None:
    data = many_series()
    task = Forecast(**target_facts(data, np.arange(len(data))), loss=Quantile((0.1, 0.5, 0.9)))
    judge, outputs = task.baselines(data.x)[""]
    low, high = (judge.predictions(outputs)[name].to_numpy().reshape(-1, 3) for name in ("q0.1", "q0.9"))
    widths = (high - low)[:, 0]
    own = naive_error_before(data.y, SEASON)[:, 0]
    defined = own > 0
    assert np.ptp(own[defined]) > 1e4
    shares = widths[defined] / own[defined]
    assert shares == pytest.approx(shares[-1], rel=0.05)  # outputs are single precision
    assert widths[~defined] == pytest.approx(0, abs=1e-2)


def test_the_naive_forecast_has_quantiles() -> None:
    data = a_series()
    task = Forecast(**target_facts(data, np.arange(40)), loss=Quantile((0.1, 0.5, 0.9)))
    judge, outputs = task.baselines(data.x[40:60])[""]
    table = judge.predictions(outputs)
    assert 0.6 < scores(judge, outputs, data.y[40:60])["coverage"] <= 1
    repeated = naive_forecast(data.x[40:60], SEASON)
    assert np.allclose(
        table[["prediction(a)", "prediction(b)"]], repeated.reshape(-1, 2), rtol=1e-5, atol=1e-5
    )
    widths = (table["q0.9(a)"] - table["q0.1(a)"]).to_numpy()[:HORIZON]
    assert widths == pytest.approx(
        widths[0] * np.sqrt([1, 1, 1, 1, 2])
    )  # the fifth step is in the second season

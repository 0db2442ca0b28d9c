"""Complete runs on series of business days: the figures of plain days, and the recorded step for new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.errors import DataError
from dlcli.result import Result
from dlcli.runs.folder import open_run
from dlcli.runs.recorded_choices import choices_in
from dlcli.tracking.ledger import Ledger

STEPS = 200


def words(file: Path, *more: str) -> list[str]:
    return ["dataset=series", f"dataset.path={file}", "dataset.horizon=3", "trainer.accelerator=cpu", *more]


def prices(folder: Path, name: str, when: pd.DatetimeIndex, **more: Any) -> Path:
    values = 100 + np.random.default_rng(0).normal(size=STEPS).cumsum() + 3 * (np.arange(STEPS) % 5 == 2)
    pd.DataFrame({"when": when, **more, "price": values.round(2)}).to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def stocks(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("stocks")
    file = prices(folder, "stocks", pd.bdate_range("2024-01-03", periods=STEPS))
    return dlcli.train(words(file), runs_dir=folder / "runs")


def place_of(result: Result) -> Path:
    return result.run_dir.parents[3]


@pytest.mark.parametrize("id", [None, "stock"])
def test_the_figures_are_those_of_plain_days(id: str | None, stocks: Result, tmp_path: Path) -> None:
    days = pd.date_range("2024-01-03", periods=STEPS)
    if id is None:
        found = stocks
        plain = dlcli.train(
            words(prices(tmp_path, "plain", days), "dataset.season=5"), runs_dir=tmp_path / "runs"
        )
    else:
        names = np.repeat(["A b", 'C"'], STEPS // 2)
        usual = f"dataset.id={id}", "dataset.lookback=10", "model=linear_forecast"
        business = pd.bdate_range("2024-01-03", periods=STEPS)
        found, plain = (
            dlcli.train(words(prices(tmp_path, name, when, stock=names), *usual, *more), runs_dir=tmp_path)
            for name, when, more in (("business", business, ()), ("plain", days, ("dataset.season=5",)))
        )
    assert found.values == plain.values
    assert found.values


def test_the_step_is_recorded_and_told(stocks: Result) -> None:
    opened = open_run(str(stocks.run_dir), place_of(stocks) / "runs")
    assert opened.config["dataset"]["business_days"] is True
    assert opened.load_model().preprocessing.has_business_days
    told = [one for one in Ledger.load(stocks.run_dir).result["notices"] if one["key"] == "business_days"]
    assert [one["count"] for one in told] == [40]


def test_forecasts_are_dated_on_weekdays(stocks: Result, tmp_path: Path) -> None:
    table = pd.read_csv(place_of(stocks) / "stocks.csv").tail(23)
    for rows in (table.head(20), table.iloc[:20].tail(18).head(18)):  # the last of them is a Thursday
        rows.to_csv(tmp_path / "new.csv", index=False)
        found = dlcli.predict(stocks.run_dir, tmp_path / "new.csv")
        assert found is not None
        assert pd.to_datetime(found["when"]).astype(str).tolist() == table["when"].tail(3).tolist()
    assert dlcli.evaluate(stocks.run_dir, file=tmp_path / "new.csv").values


def test_new_rows_on_a_weekend_are_an_error(stocks: Result, tmp_path: Path) -> None:
    table = pd.read_csv(place_of(stocks) / "stocks.csv").tail(30)
    table = table.assign(when=pd.date_range("2024-10-01", periods=30))
    table.to_csv(tmp_path / "new.csv", index=False)
    for use in (dlcli.predict, lambda run, file: dlcli.evaluate(run, file=file)):
        with pytest.raises(DataError, match=r"new\.csv:6, column when: 2024-10-05 .* is on a weekend, and 7"):
            use(stocks.run_dir, tmp_path / "new.csv")
    week = table[table["when"].dt.day_of_week < 5].iloc[1:]
    week.drop(index=week.index[8]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="comes after a gap"):
        dlcli.predict(stocks.run_dir, tmp_path / "new.csv")


def test_runs_of_earlier_versions_have_calendar_days() -> None:
    series = {"_target_": "dlcli.datasets.series.load", "lookback": 7}
    assert choices_in(series) == {"lookback": 7, "business_days": False}
    assert choices_in({**series, "business_days": "auto"}) == {"lookback": 7}
    assert choices_in({"_target_": "dlcli.datasets.iris.load"}) == choices_in(None) == {}

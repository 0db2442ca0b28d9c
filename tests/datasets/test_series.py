"""A series in a file: its windows, its parts, and errors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets import series
from dlcli.datasets.data import Data, take
from dlcli.datasets.shared_memory import SharedData, read_shared
from dlcli.errors import DataError

STEPS = 60


def table(steps: int = STEPS, **columns: Any) -> pd.DataFrame:
    """Return hours, two variables that count up, and a holiday every seventh step."""
    plain = {
        "when": pd.date_range("2024-01-01", periods=steps, freq="h").astype(str),
        "load": np.arange(steps, dtype=float),
        "heat": np.arange(steps) * 10.0,
        "holiday": np.arange(steps) % 7 == 0,
    }
    return pd.DataFrame({**plain, **columns})


def load(frame: pd.DataFrame, folder: Path, **arguments: Any) -> Data:
    path = folder / "power.csv"
    frame.to_csv(path, index=False)
    return series.load(str(path), **{"lookback": 6, "horizon": 3, **arguments})


def test_windows_follow_each_other(tmp_path: Path) -> None:
    data = load(table(), tmp_path, target="load", inputs=["heat"], known=["holiday"], stride=2)
    assert data.name == "power"
    assert data.target_kind == "forecast"
    assert data.x.columns == ("load", "heat", "holiday")
    assert data.x.shape == (26, 6, 3)
    assert data.y.shape == (26, 3, 1)
    assert data.y.numpy()[:2, :, 0].tolist() == [[6, 7, 8], [8, 9, 10]]
    assert take(data.y, [3]).numpy().tolist() == data.y.numpy()[[3]].tolist()
    assert data.times.tolist() == data.x.origins.tolist()
    assert data.y.times[data.y.steps()[0, 0]] == np.datetime64("2024-01-01T06")


def test_numbers_that_may_denote_a_missing_value_are_reported(tmp_path: Path) -> None:
    load_values = np.where(np.arange(STEPS) % 9 == 4, -999, np.arange(STEPS))
    (told,) = load(table(load=load_values), tmp_path, target="load", inputs=["heat"]).notices
    assert (told.key, told.hint) == ("sentinels", "If it does: 'dataset.missing_values={load: [-999]}'")


def test_an_hour_that_summer_time_skips_or_repeats_has_a_hint(tmp_path: Path) -> None:
    for first, message in (("2024-03-31", "comes after a gap"), ("2024-10-27", "occurs twice")):
        hours = pd.date_range(first, periods=STEPS, freq="h", tz="Europe/Berlin")
        with pytest.raises(DataError, match=message) as caught:
            load(table(when=hours.tz_localize(None).astype(str)), tmp_path)
        assert "write the times with their zone" in caught.value.problems[0].hint
        load(table(when=[hour.isoformat() for hour in hours]), tmp_path)


def test_days_without_weekends_have_a_hint(tmp_path: Path) -> None:
    days = pd.bdate_range("2024-01-01", periods=STEPS)
    with pytest.raises(DataError, match="comes after a gap") as caught:
        load(table(when=days.astype(str)), tmp_path)
    assert "train with dataset.business_days=true" in caught.value.problems[0].hint
    with pytest.raises(DataError, match="comes after a gap") as caught:
        load(table(when=pd.date_range("2024-01-01", periods=STEPS).astype(str)).drop(index=[7]), tmp_path)
    assert "Add the rows" in caught.value.problems[0].hint


def test_all_columns_are_forecast_unless_one_is_named(tmp_path: Path) -> None:
    assert load(table(), tmp_path).targets == ("load", "heat", "holiday")
    assert load(table(), tmp_path, target="heat").x.columns == ("heat", "load", "holiday")
    assert load(table(), tmp_path, target=["heat"], inputs=[]).x.columns == ("heat",)


def test_parquet_and_numbers_as_times(tmp_path: Path) -> None:
    path = tmp_path / "power.parquet"
    table(when=np.arange(STEPS) * 5).to_parquet(path)
    data = series.load(str(path), time="when", target="load", lookback=6, horizon=3)
    assert len(data) == STEPS - 6 - 3 + 1
    assert data.x.season == 1


@pytest.mark.parametrize(
    ("freq", "season"), [("h", 24), ("30min", 48), ("D", 7), ("W", 52), ("MS", 12), ("ME", 12), ("QS", 4)]
)
def test_the_season_follows_from_the_step(freq: str, season: int, tmp_path: Path) -> None:
    when = pd.date_range("2023-01-31", periods=STEPS, freq=freq).astype(str)
    assert load(table(when=when), tmp_path).x.season == season
    assert load(table(when=when), tmp_path, season=5).x.season == 5


def test_borders_keep_forecasts_apart(tmp_path: Path) -> None:
    data = load(table(), tmp_path, borders=[30, "2024-01-02 16:00", 55])
    covered = {
        part: (data.x.origins[data.parts == part].min(), data.x.origins[data.parts == part].max() + 2)
        for part in ("train", "val", "test")
    }
    assert covered == {"train": (6, 29), "val": (30, 39), "test": (40, 54)}
    assert data.test_rows.tolist() == np.flatnonzero(data.parts == "test").tolist()


def test_missing_values_are_filled_forward_if_configured(tmp_path: Path) -> None:
    frame = table().drop(index=[20, 21])
    frame.loc[30, "heat"] = np.nan
    data = load(frame, tmp_path, missing="forward")
    assert len(data.x.values) == STEPS
    assert data.x.values[19:23, 0].tolist() == [19, 19, 19, 22]
    assert data.x.values[30, 1] == 290
    assert data.y.times[21] == np.datetime64("2024-01-01T21")
    (told,) = (notice for notice in data.notices if notice.key == "filled_steps")
    assert told.text == (
        f"3 of {STEPS} steps have values of the preceding one (2 missing rows, 1 with missing values)"
    )
    months = table(when=pd.date_range("2020-01-01", periods=STEPS, freq="MS").astype(str)).drop(index=3)
    assert load(months, tmp_path, missing="forward").y.times[3] == np.datetime64("2020-04-01")


def test_one_wrong_year_does_not_fill_the_memory(tmp_path: Path) -> None:
    when = pd.date_range("2024-01-01", periods=STEPS, freq="s").astype(str).to_list()
    when[-1] = "2204-01-01 00:00:00"
    with pytest.raises(DataError, match=f"the gaps between {STEPS} rows are more than 5,.* steps long"):
        load(table(when=when), tmp_path, missing="forward")


@pytest.mark.parametrize("first", ["2023-02-28", "2024-02-29", "2023-01-31"])
def test_month_ends_are_extrapolated(first: str, tmp_path: Path) -> None:
    ends = pd.date_range(first, periods=STEPS, freq="ME")
    frame = table(when=ends.astype(str))
    assert load(frame, tmp_path).y.times.tolist() == ends.to_numpy().astype("datetime64[us]").tolist()
    filled = load(frame.drop(index=[3, 13, 14]), tmp_path, missing="forward")
    assert filled.y.times.tolist() == ends.to_numpy().astype("datetime64[us]").tolist()
    bordered = load(frame, tmp_path, borders=[str(ends[30]), str(ends[40])])
    assert bordered.x.origins[bordered.parts == "val"].tolist() == [*range(30, 38)]


def test_the_same_day_of_each_month_is_extrapolated(tmp_path: Path) -> None:
    days = pd.date_range("2023-02-01", periods=STEPS, freq="MS") + pd.Timedelta(days=27)
    filled = load(table(when=days.astype(str)).drop(index=[3]), tmp_path, missing="forward")
    assert filled.y.times.tolist() == days.to_numpy().astype("datetime64[us]").tolist()


def edited(row: int, column: str, value: Any) -> pd.DataFrame:
    frame = table().astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "where", "message"),
    [
        pytest.param(
            table().iloc[[0, 2, 1, *range(3, STEPS)]],
            "power.csv:4, column when",
            "2024-01-01 01:00:00 is before the time of the previous row",
            id="out of order",
        ),
        pytest.param(
            table().iloc[[0, 1, 1, *range(2, STEPS)]],
            "power.csv:4, column when",
            "2024-01-01 01:00:00 occurs twice",
            id="twice",
        ),
        pytest.param(
            table().drop(index=[7, 8, 20]),
            "power.csv:9, column when",
            "2024-01-01 09:00:00 comes after a gap: rows are missing before it, and 1 more like it",
            id="gaps",
        ),
        pytest.param(
            edited(9, "when", "2024-01-01 09:20:00"),
            "power.csv:11, column when",
            "2024-01-01 09:20:00 is not a whole number of steps after the previous row, and 1 more like it",
            id="off the grid",
        ),
        pytest.param(
            edited(9, "when", "noon"), "power.csv:11, column when", "'noon' is not a time", id="no time"
        ),
        pytest.param(
            edited(9, "when", None), "power.csv:11, column when", "a time is missing", id="time missing"
        ),
        pytest.param(
            edited(9, "heat", None), "power.csv:11, column heat", "a value is missing", id="value missing"
        ),
        pytest.param(
            edited(9, "heat", "cold"), "power.csv:11, column heat", "'cold' is not a number", id="text"
        ),
        pytest.param(
            table(day=pd.date_range("2024-01-01", periods=STEPS).astype(str)),
            "power.csv:2, column day",
            f"2024-01-01 00:00:00 is not a number, and {STEPS - 1} more like it",
            id="second dates",
        ),
        pytest.param(edited(9, "heat", "inf"), "power.csv:11, column heat", "inf is infinite", id="infinite"),
        pytest.param(
            table(8), "power.csv", "8 steps are too few for a lookback of 6 and a horizon of 3", id="short"
        ),
        pytest.param(
            table()[["load", "heat"]],
            "power.csv",
            "no column contains dates; the columns are load, heat",
            id="no times",
        ),
    ],
)
def test_invalid_data_is_reported(frame: pd.DataFrame, where: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(frame, tmp_path)
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.where == str(tmp_path / where)
    assert problem.hint


def test_invalid_arguments_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column laod in power\.csv\n.*Did you mean load"):
        load(table(), tmp_path, target="laod")
    with pytest.raises(DataError, match="named in two settings"):
        load(table(), tmp_path, target="load", inputs=["heat"], known=["heat"])
    with pytest.raises(DataError, match="the borders are at steps 40, 30 of 60"):
        load(table(), tmp_path, borders=[40, 30])
    with pytest.raises(DataError, match="the borders are at steps 40 of 60"):
        load(table(), tmp_path, borders=[40])
    with pytest.raises(DataError, match="'soon' is not a time"):
        load(table(), tmp_path, borders=[30, "soon"])
    with pytest.raises(DataError, match="no window lies within val"):
        load(table(), tmp_path, borders=[30, 32])
    with pytest.raises(DataError, match="no such file"):
        series.load(str(tmp_path / "nothing.csv"))


def test_the_fingerprint_depends_on_values_and_windows(tmp_path: Path) -> None:
    prints = {
        load(frame, tmp_path, **arguments).fingerprint
        for frame in (table(), edited(9, "heat", 91.0))
        for arguments in ({}, {"lookback": 7}, {"stride": 2}, {"target": "load"})
    }
    assert len(prints) == 8
    assert load(table(), tmp_path).fingerprint in prints


def test_workers_receive_the_series_once(tmp_path: Path) -> None:
    data = load(table(4000), tmp_path, lookback=300, horizon=100)
    shared = SharedData(data, tmp_path)
    # Values once for x and y, times and origins; materialized windows would be 400 times as large.
    assert len(pickle.dumps(data, protocol=5)) < 2 * data.x.values.nbytes
    read = read_shared(shared.fd)
    assert read.fingerprint == data.fingerprint
    assert np.shares_memory(read.x.values, read.y.values)
    shared.close()


@pytest.mark.parametrize("arguments", [{}, {"time": "t"}, {"target": []}])
def test_a_file_without_a_column_to_forecast_is_reported(tmp_path: Path, arguments: dict[str, Any]) -> None:
    file = tmp_path / "s.csv"
    file.write_text("t\n" + "".join(f"2024-01-{day:02}\n" for day in range(1, 9)))
    with pytest.raises(DataError, match="there is no column to forecast: the file has only t"):
        series.load(str(file), lookback=2, horizon=1, **arguments)

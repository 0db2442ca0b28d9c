"""The steps of times: business days, weekdays of months, and days in time zones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets import series
from dlcli.datasets.data import Data
from dlcli.datasets.timeline import count_weekends, fill, following, lay_out, weekdays_of_months
from dlcli.errors import DataError
from dlcli.inference.example import steps_of_row
from dlcli.preprocessing.series import Series

STEPS = 60
AUTO: dict[str, Any] = {"lookback": 6, "horizon": 3, "business_days": "auto"}


def load(folder: Path, when: Any, **arguments: Any) -> Data:
    """Return the windows of a series that counts its steps, except those that are missing."""
    frame = pd.DataFrame({"when": pd.Series(when).astype(str), "y": np.arange(len(when)) ** 1.5})
    path = folder / f"{len(list(folder.iterdir()))}.csv"
    frame.to_csv(path, index=False)
    return series.load(str(path), **{**AUTO, **arguments})


def days(steps: int = STEPS, first: str = "2024-01-03") -> pd.DatetimeIndex:
    return pd.bdate_range(first, periods=steps)


def place(row: int) -> str:
    return f"row {row}"


@settings(max_examples=50, deadline=None)
@given(
    first=st.dates(pd.Timestamp(1900, 1, 1).date(), pd.Timestamp(2100, 1, 1).date()),
    kept=st.sets(st.integers(0, 40), min_size=2),
    hour=st.integers(0, 23),
)
def test_business_days_are_laid_out_as_days_in_a_row(first: Any, kept: set[int], hour: int) -> None:
    rows = sorted({*kept, 0})
    business = pd.Series(pd.bdate_range(first, periods=60) + pd.Timedelta(hours=hour)).astype(
        "datetime64[us]"
    )
    found = lay_out(business.iloc[rows], place, gaps=True, business=True)
    assert found.positions.tolist() == rows
    assert fill(business.iloc[rows], found).tolist() == business[: rows[-1] + 1].to_numpy().tolist()
    ahead = following(business.iloc[rows], found, 5)
    assert ahead.tolist() == business[rows[-1] + 1 : rows[-1] + 6].to_numpy().tolist()


@settings(max_examples=50, deadline=None)
@given(
    first=st.dates(pd.Timestamp(1900, 1, 1).date(), pd.Timestamp(2100, 1, 1).date()),
    freq=st.sampled_from(["BME", "BMS", "BQE", "BQS", "BYE"]),
    dropped=st.sets(st.integers(1, 19), max_size=4),
    moved=st.lists(st.integers(0, 2), min_size=21, max_size=21),
    hour=st.integers(0, 23),
)
def test_weekdays_of_months_are_laid_out_as_months(
    first: Any, freq: str, dropped: set[int], moved: list[int], hour: int
) -> None:
    rows = [row for row in range(21) if row not in dropped]
    exact = pd.date_range(first, periods=24, freq=freq) + pd.Timedelta(hours=hour)
    is_end = freq.endswith("E")
    when = [
        day + (-days if is_end else days) * pd.offsets.BusinessDay()
        for day, days in zip(exact, moved, strict=False)
    ]
    times = pd.Series(when).astype("datetime64[us]").iloc[rows]
    found = lay_out(times, place, gaps=True)
    assert (found.unit, found.step) == ("months", {"M": 1, "Q": 3, "Y": 12}[freq[1]])
    assert found.positions.tolist() == rows
    told = weekdays_of_months(times)
    if times.dt.is_month_end.all() or times.dt.day.nunique() == 1:
        assert told is None
    else:
        assert told == ("last" if is_end else "first", sum(moved[row] > 0 for row in rows))
        assert following(times, found, 3).tolist() == exact[21:].to_numpy().astype("datetime64[us]").tolist()


def test_dates_at_weekdays_of_months_are_told(tmp_path: Path) -> None:
    when = pd.date_range("2023-01-01", periods=STEPS, freq="BME").to_list()
    when[14] = pd.Timestamp("2024-03-28")  # before Good Friday
    (told,) = load(tmp_path, when).notices
    assert (told.key, told.count, told.warns) == ("month_weekdays", 1, False)
    assert told.text == (
        "dates are the last weekdays of their months, as are those of forecasts "
        "(1 up to two weekdays away, as by holidays)"
    )
    with pytest.raises(DataError, match="is not a whole number of steps"):
        load(tmp_path, [*when[:4], pd.Timestamp("2023-05-20"), *when[5:]])


def test_steps_of_thirteen_weeks_stay_weeks() -> None:
    weeks = pd.Series(pd.date_range("2021-01-04", periods=8, freq="91D")).astype("datetime64[us]")
    assert lay_out(weeks, place).unit == "seconds"


def test_a_series_of_business_days_has_the_windows_of_the_same_values_day_by_day(tmp_path: Path) -> None:
    found = load(tmp_path, days(), test_steps=6)
    plain = load(tmp_path, pd.date_range("2024-01-01", periods=STEPS), test_steps=6, season=5)
    assert found.x.business_days and not plain.x.business_days
    for one, other in ((found.x, plain.x), (found.y, plain.y)):
        assert one.values.tolist() == other.values.tolist()
        assert one.origins.tolist() == other.origins.tolist()
    assert found.x.season == plain.x.season == 5
    assert found.test_rows.tolist() == plain.test_rows.tolist()
    (told,) = found.notices
    assert (told.key, told.count, told.warns) == ("business_days", 12, False)
    assert "12 weekends without a date" in told.text


@pytest.mark.parametrize(
    ("when", "is_business"),
    [
        (days(), True),
        (days() + pd.Timedelta(hours=16), True),
        (days().delete([7, 20, 21]), True),  # holidays
        (days(5, "2024-01-01"), False),  # a week, which days fit as well
        (pd.date_range("2024-01-05", periods=STEPS), False),
        (pd.date_range("2024-01-05", periods=STEPS, freq="W-FRI"), False),
        (pd.date_range("2024-01-05", periods=STEPS, freq="BME"), False),
        (days().append(pd.DatetimeIndex(["2024-04-06"])), False),
        (pd.DatetimeIndex([day + pd.Timedelta(hours=hour) for day in days() for hour in (9, 10)]), False),
    ],
)
def test_business_days_are_recognised_by_their_dates(when: Any, is_business: bool) -> None:
    assert (count_weekends([pd.Series(when)]) > 0) is is_business


def test_the_key_decides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="comes after a gap") as caught:
        load(tmp_path, days(), business_days=False)
    assert "train with dataset.business_days=true" in caught.value.problems[0].hint
    filled = load(tmp_path, days(), business_days=False, missing="forward")
    assert not filled.x.business_days
    assert len(filled.x.values) > STEPS
    assert load(tmp_path, days(20, "2024-01-01"), business_days=True).x.season == 5
    with pytest.raises(DataError, match="business days require dates, but column when has numbers"):
        load(tmp_path, range(STEPS), time="when", business_days=True)
    with pytest.raises(DataError, match="2024-01-06 00:00:00 is on a weekend, and 15 more like it"):
        load(tmp_path, pd.date_range("2024-01-01", periods=STEPS), business_days=True)


@pytest.mark.parametrize("missing", ["error", "forward"])
def test_holidays_are_gaps_of_business_days(missing: Literal["error", "forward"], tmp_path: Path) -> None:
    with_holidays = days().delete([7, 20, 21])
    if missing == "error":
        with pytest.raises(DataError, match="2024-01-15 00:00:00 comes after a gap") as caught:
            load(tmp_path, with_holidays)
        assert "such as those of holidays" in caught.value.problems[0].hint
    else:
        data = load(tmp_path, with_holidays, missing=missing)
        assert data.y.times.tolist() == days().as_unit("us").to_numpy().tolist()
        assert [notice.count for notice in data.notices] == [12, 3]


def test_the_dates_of_the_first_file_decide_for_all_series(tmp_path: Path) -> None:
    own = [("a", days()), ("b", days(3, "2024-01-04")), ("c", days(40, "2024-02-01"))]
    frame = pd.concat(pd.DataFrame({"id": id, "when": when, "y": np.arange(len(when))}) for id, when in own)
    frame.to_csv(tmp_path / "s.csv", index=False)
    data = series.load(str(tmp_path / "s.csv"), id="id", target="y", **AUTO)
    assert [len(range(*span)) for span in zip(data.x.stretches.begins, [60, 63, 103], strict=True)] == [
        60,
        3,
        40,
    ]
    assert data.x.season == 5
    later = pd.DataFrame({"id": "a", "when": days(6, "2024-03-27"), "y": 1})  # begins after the last day
    later.to_csv(tmp_path / "later.csv", index=False)
    options: dict[str, Any] = {"id": "id", "target": "y", "test_path": str(tmp_path / "later.csv"), **AUTO}
    assert len(series.load(str(tmp_path / "s.csv"), **options).test_rows) == 4
    later.assign(when=pd.date_range("2024-03-27", periods=6)).to_csv(tmp_path / "later.csv", index=False)
    with pytest.raises(DataError, match=r"later\.csv:5, column when: 2024-03-30 00:00:00 is on a weekend"):
        series.load(str(tmp_path / "s.csv"), **options)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "+09:00", "Europe/Berlin"])
@pytest.mark.parametrize("freq", ["B", "D", "W", "MS"])
def test_days_begin_in_the_zone_of_the_file(freq: str, zone: str, tmp_path: Path) -> None:
    local = pd.date_range("2024-01-01", periods=90, freq=freq)
    path, times = tmp_path / "s.parquet", local.tz_localize(zone)
    pd.DataFrame({"when": times, "y": np.arange(90.0)}).to_parquet(path)
    data = series.load(str(path), **AUTO)
    assert data.x.season == {"B": 5, "D": 7, "W": 52, "MS": 12}[freq]
    utc = pd.Series(times.tz_convert("UTC").tz_localize(None)).astype("datetime64[us]")
    assert data.y.times.tolist() == utc.to_numpy().tolist()
    known = utc[:-5]
    grid = lay_out(known, place, zone=zone, business=data.x.business_days)
    assert following(known, grid, 5).tolist() == utc[-5:].to_numpy().tolist()


def test_an_example_of_business_days_can_be_forecast(tmp_path: Path) -> None:
    data = load(tmp_path, days(), lookback=12)
    rows = steps_of_row(Series().fit(data.x), data.columns, None, "when")
    lay_out(pd.to_datetime(pd.Series([row["when"] for row in rows])), place, business=True)


def test_days_in_several_zones_have_a_hint(tmp_path: Path) -> None:
    local = pd.bdate_range("2024-01-01", periods=90, tz="America/New_York")
    load(tmp_path, [day.isoformat() for day in local])  # midnights are days
    with pytest.raises(DataError, match="is not a whole number of steps") as caught:
        load(tmp_path, [(day + pd.Timedelta(hours=16)).isoformat() for day in local])
    assert "write dates without time and zone" in caught.value.problems[0].hint

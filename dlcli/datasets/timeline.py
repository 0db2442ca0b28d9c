"""Validation of a series' times, which increase by a fixed step, such as seconds, calendar months or business days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.pasted import pasted
from dlcli.datasets.reading.date_formats import find_dates
from dlcli.errors import DataError

_GIVE = "Give each row a time, such as 2024-01-31 13:00; dataset.date_format gives the format of others."

# Returns the place of a row, for messages.
Where = Callable[[int], str]

_ADD = "Add the rows, or fill them with the previous values: dataset.missing=forward."
_ADD_HOLIDAYS = (
    "Add the rows, such as those of holidays, or fill them with the previous values: dataset.missing=forward."
)
_WEEKENDS = (
    f"Most gaps are weekends: train with {pasted('dataset.business_days', True)}, for steps from Monday to Friday. "
    "dataset.missing=forward would fill the weekends with the values of Fridays."
)
_NO_WEEKENDS = (
    "The steps are business days: remove the rows of weekends, or train with "
    f"{pasted('dataset.business_days', False)}, for steps of calendar days."
)

# Unit of steps from Monday to Friday.
_BUSINESS = "business days"

_DAY, _WEEK = 86_400.0, 604_800.0

# Between weekdays at the begin or end of two months, each moved by holidays.
_SHORTEST_MONTH = np.timedelta64(24, "D")

# Weekdays by which holidays may move the first or last one of a month.
_HOLIDAYS = 2

# Step of dates at the end or begin of months, Monday to Friday, to the weekday.
_WEEKDAYS: dict[Any, str] = {pd.offsets.BMonthEnd: "last", pd.offsets.BMonthBegin: "first"}

_SUMMER_TIME = (
    " If summer time begins or ends here, write the times with their zone, such as 2024-03-31T03:00+02:00."
)
_SORT = "Sort the file by time; if it has several series, name the column that distinguishes them: dataset.id=COLUMN."


class TimeGrid(NamedTuple):
    """Regular grid of times.

    Attributes:
        positions: number of steps from the first time to each time `(T,)`.
        step: size of a step in the unit.
        unit: seconds, months, business days or numbers.
        zone: time zone of the steps, if they are days or longer and a zone is known.
    """

    positions: np.ndarray
    step: float
    unit: str
    zone: str = ""


def read_times(column: pd.Series, where: Where) -> pd.Series:
    """Return the times as comparable values: dates in UTC without a zone, or numbers.

    Raises:
        DataError: a value is missing, or the column holds neither dates nor numbers.
    """
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise DataError("a time is missing", where(int(missing[0])), _GIVE)
    if not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_datetime64_any_dtype(column):
        dates = find_dates(pa.array(column.unique(), pa.string()).slice(0, 1))
        wrong = dates[0].parse(pa.array(column, pa.string())).is_null() if dates else pa.array([True])
        row = pc.index(wrong, True).as_py()
        raise DataError(f"{column.iloc[max(row, 0)]!r} is not a time", where(max(row, 0)), _GIVE)
    return column


def lay_out(
    times: pd.Series,
    where: Where,
    *,
    gaps: bool = False,
    edge: int = 0,
    zone: str = "",
    business: bool = False,
) -> TimeGrid:
    """Return the grid of the times.

    Args:
        times: the times (`read_times`).
        where: returns the place of a row.
        gaps: whether steps may be missing.
        edge: row before which steps may be missing in any case.
        zone: time zone in which days and months begin; dates are in UTC if it is empty or `mixed`.
        business: whether dates have a step of a business day, Monday to Friday.

    Raises:
        DataError: times are out of order, duplicate, not on a grid, on a weekend, or missing.
    """
    local = _in_zone(times, zone)
    business = business and pd.api.types.is_datetime64_any_dtype(times)
    if business:
        weekend = ~np.is_busday(_days(local))
        _raise_if(weekend, local, where, "is on a weekend", _NO_WEEKENDS)
    elapsed, unit = _elapsed(local, business=business)
    apart = np.diff(elapsed)
    _raise_if(apart < 0, local, where, "is before the time of the previous row", _SORT)
    unique = "Keep one row per time; if there are several series, name the column that distinguishes them: dataset.id."
    _raise_if(apart == 0, local, where, "occurs twice", unique)
    sizes, counts = np.unique(apart, return_counts=True)
    step = float(sizes[counts.argmax()]) if len(sizes) and not business else 1.0
    steps = apart / step
    resample = "Resample the series to a fixed step, such as with pandas' resample."
    if zone == "mixed" and step >= _DAY:
        resample = "The times have several zones: for steps of days, write dates without time and zone, as 2024-01-31."
    off_grid = (abs(steps - steps.round()) > 1e-3) | (steps < 0.5)
    _raise_if(off_grid, local, where, "is not a whole number of steps after the previous row", resample)
    steps = steps.round().astype(np.int64)
    if not gaps:
        gap = (steps > 1) & (np.arange(1, len(times)) != edge)
        add = _ADD_HOLIDAYS if business else _ADD
        if unit == "seconds" and step == _DAY and _are_weekends(local, gap):
            add = _WEEKENDS
        _raise_if(gap, local, where, "comes after a gap: rows are missing before it", add)
    positions = np.concatenate([[0], steps.cumsum()]).astype(np.int64)
    return TimeGrid(positions, step, unit, "" if local is times else zone)


def count_weekends(series: Sequence[pd.Series], zone: str = "") -> int:
    """Return the number of weekends between the dates of some series, if their steps are business days; else 0.

    They are if all dates are from Monday to Friday, at one time of day, and most of them are a day apart.
    """
    weekends, apart = 0, [np.zeros(0, dtype=np.int64)]
    for times in series:
        if not pd.api.types.is_datetime64_any_dtype(times):
            return 0
        local = _in_zone(times, zone)
        days = np.unique(_days(local))
        if not np.is_busday(days).all() or not _at_one_time_of_day(local):
            return 0
        apart.append(np.diff(days).astype(np.int64))
        weekends += int((apart[-1] - np.busday_count(days[:-1], days[1:])).sum()) // 2
    sizes, counts = np.unique(np.concatenate(apart), return_counts=True)
    return weekends if len(sizes) and sizes[counts.argmax()] == 1 else 0


def _are_weekends(times: pd.Series, gap: np.ndarray) -> bool:
    """Return whether most gaps `(T - 1,)` are a single weekend."""
    days = _days(times)
    working = np.is_busday(days)
    between = (np.busday_count(days[:-1], days[1:]) == 1) & working[:-1] & working[1:]
    return bool(gap.any() and between[gap].mean() > 0.5)


def season_of(grid: TimeGrid) -> int:
    """Return the number of steps in a day, week or year, whichever is the first longer than a step; else 1.

    A week has five business days.
    """
    if grid.unit == _BUSINESS:
        return 5
    if grid.unit == "months":
        return int(12 / grid.step) if 12 % grid.step == 0 else 1
    if grid.unit == "seconds":
        if grid.step < _DAY:
            return int(_DAY / grid.step) if _DAY % grid.step == 0 else 1
        return {_DAY: 7, _WEEK: 52}.get(grid.step, 1)
    return 1


def fill(times: pd.Series, grid: TimeGrid) -> np.ndarray:
    """Return the times of all steps, taking missing ones from the grid."""
    when = _at(times, grid, np.arange(grid.positions[-1] + 1))
    when[grid.positions] = times.to_numpy()
    return when


def following(times: pd.Series, grid: TimeGrid, steps: int) -> np.ndarray:
    """Return the times of the steps after the last one on the grid."""
    return _at(times, grid, grid.positions[-1] + 1 + np.arange(steps))


def _at(times: pd.Series, grid: TimeGrid, positions: np.ndarray) -> np.ndarray:
    """Return the times at positions of the grid, relative to the first time."""
    steps = positions * grid.step
    if grid.zone:
        found = pd.Series(_at(_in_zone(times, grid.zone), grid._replace(zone=""), positions)).dt
        # A time that summer time skips is moved to the end of the gap.
        known = found.tz_localize(grid.zone, ambiguous=np.ones(len(steps), bool), nonexistent="shift_forward")
        return known.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(copy=True)
    first = times.to_numpy()[0]
    if grid.unit == "months":
        begin, later = times.iloc[0], _month_step(times) or _months
        if later in _WEEKDAYS:  # 28 March 2024, before Good Friday, counts as the last weekday of its month
            begin = later(1).rollforward(begin) if _WEEKDAYS[later] == "last" else later(1).rollback(begin)
        return np.array([begin + later(int(step)) for step in steps], dtype="datetime64[us]")
    if grid.unit == _BUSINESS:
        day = first.astype("datetime64[D]")
        return np.busday_offset(day, positions) + (first - day)
    if grid.unit == "seconds":
        return first + (steps * 1e6).astype("timedelta64[us]")
    return first + steps


def _days(times: pd.Series) -> np.ndarray:
    return times.to_numpy().astype("datetime64[D]")


def _at_one_time_of_day(times: pd.Series) -> bool:
    return len(np.unique(times.to_numpy() - _days(times))) <= 1


def _in_zone(times: pd.Series, zone: str) -> pd.Series:
    """Return dates in UTC as those in a zone, if all are at one time of day there; else unchanged."""
    if zone in ("", "UTC", "mixed") or not pd.api.types.is_datetime64_any_dtype(times):
        return times
    local = times.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
    return local if _at_one_time_of_day(local) else times


def _months(months: int) -> pd.DateOffset:
    return pd.DateOffset(months=months)


def _month_step(times: pd.Series) -> Callable[[int], pd.DateOffset] | None:
    """Return what leads to the date of a later month: for month ends, 28 February is followed by 31 March.

    None if the dates are neither the same day of each month nor its last day, nor its first or last weekday.
    """
    apart = np.diff(times.to_numpy())
    if not len(apart) or apart.min() < _SHORTEST_MONTH:
        return None
    if times.dt.is_month_end.all():
        return pd.offsets.MonthEnd
    if times.dt.day.nunique() == 1:
        return _months
    return None if len(apart) > 1 and (apart == apart[0]).all() else _working_month_step(_days(times))


def _working_month_step(days: np.ndarray) -> Callable[[int], pd.DateOffset] | None:
    """Return what leads to a later first or last weekday of a month, from which holidays may move a date."""
    if not np.is_busday(days).all() or (np.diff(days.astype("datetime64[M]")) < np.timedelta64(1, "M")).any():
        return None
    for step, moved in _moved(days).items():
        if (moved <= _HOLIDAYS).all():
            return step
    return None


def _moved(days: np.ndarray) -> dict[Callable[[int], pd.DateOffset], np.ndarray]:
    """Return the weekdays between dates `(T,)` and the last, and the first, weekday of their months."""
    months = days.astype("datetime64[M]")
    last = np.busday_offset((months + 1).astype("datetime64[D]"), -1, roll="forward")
    first = np.busday_offset(months.astype("datetime64[D]"), 0, roll="forward")
    return {
        pd.offsets.BMonthEnd: np.busday_count(days, last),
        pd.offsets.BMonthBegin: np.busday_count(first, days),
    }


def weekdays_of_months(times: pd.Series, zone: str = "") -> tuple[str, int] | None:
    """Return `first` or `last` if the dates are the first or last weekdays of months, and how many are not exactly."""
    if not pd.api.types.is_datetime64_any_dtype(times):
        return None
    local = _in_zone(times, zone)
    step = _month_step(local)
    if step is None or step not in _WEEKDAYS:
        return None
    return _WEEKDAYS[step], int((_moved(_days(local))[step] > 0).sum())


def _elapsed(times: pd.Series, *, business: bool) -> tuple[np.ndarray, str]:
    """Return the times as numbers, and their unit: months if all rows are months apart, since months vary in length."""
    if business:
        days = _days(times)
        return np.busday_count(days[0], days) + (times.to_numpy() - days) / np.timedelta64(1, "D"), _BUSINESS
    if not pd.api.types.is_datetime64_any_dtype(times):
        return times.to_numpy(dtype=np.float64), "numbers"
    seconds = (times - times.iloc[0]).dt.total_seconds().to_numpy()
    if _month_step(times):
        return (times.dt.year * 12 + times.dt.month).to_numpy(dtype=np.float64), "months"
    return seconds, "seconds"


def _raise_if(wrong: np.ndarray, times: pd.Series, where: Where, message: str, hint: str) -> None:
    """Raise an error that names the first wrong row and the number of others; `wrong` may lack the first row."""
    rows = np.flatnonzero(wrong) + len(times) - len(wrong)
    if len(rows):
        more = f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""
        first = times.iloc[rows[0]]
        zone = _SUMMER_TIME if isinstance(first, pd.Timestamp) and _may_be_change(first) else ""
        raise DataError(f"{first} {message}{more}", where(int(rows[0])), hint + zone)


def _may_be_change(time: pd.Timestamp) -> bool:
    """Return whether summer time may begin or end: in the first hours of a Sunday in spring or autumn."""
    return (
        time.month in (3, 4, 9, 10, 11)
        and time.weekday() == 6
        and time.hour <= 3
        and time.hour + time.minute > 0
    )

"""Validation of a series' times, which must be increasing with a fixed step, such as seconds or calendar months."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.date_formats import find_dates
from dlcli.errors import DataError

_GIVE = "Give each row a time, such as 2024-01-31 13:00; dataset.date_format gives the format of others."

# Returns the place of a row, for messages.
Where = Callable[[int], str]

_ADD = "Add the rows, or fill them with the previous values: dataset.missing=forward."
_NUMBER = (
    "There are no rows of weekends. Add a column that numbers the rows, and name it by dataset.time; a week has five "
    "of them (dataset.season). dataset.missing=forward would fill the weekends with the values of Fridays."
)

_DAY, _WEEK = 86_400.0, 604_800.0

_SUMMER_TIME = (
    " If summer time begins or ends here, write the times with their zone, such as 2024-03-31T03:00+02:00."
)
_SORT = "Sort the file by time; if it has several series, name the column that distinguishes them: dataset.id=COLUMN."


class TimeGrid(NamedTuple):
    """Regular grid of times.

    Attributes:
        positions: number of steps from the first time to each time `(T,)`.
        step: size of a step in the unit.
        unit: seconds, months or numbers.
    """

    positions: np.ndarray
    step: float
    unit: str


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


def lay_out(times: pd.Series, where: Where, *, gaps: bool = False, edge: int = 0) -> TimeGrid:
    """Return the grid of the times; steps may be missing if `gaps` is true, and always before the row `edge`.

    Raises:
        DataError: times are out of order, duplicate, not on a grid, or missing.
    """
    elapsed, unit = _elapsed(times)
    apart = np.diff(elapsed)
    _raise_if(apart < 0, times, where, "is before the time of the previous row", _SORT)
    unique = "Keep one row per time; if there are several series, name the column that distinguishes them: dataset.id."
    _raise_if(apart == 0, times, where, "occurs twice", unique)
    sizes, counts = np.unique(apart, return_counts=True)
    step = float(sizes[counts.argmax()]) if len(sizes) else 1.0
    steps = apart / step
    resample = "Resample the series to a fixed step, such as with pandas' resample."
    off_grid = abs(steps - steps.round()) > 1e-3
    _raise_if(off_grid, times, where, "is not a whole number of steps after the previous row", resample)
    steps = steps.round().astype(np.int64)
    if not gaps:
        gap = (steps > 1) & (np.arange(1, len(times)) != edge)
        add = _NUMBER if unit == "seconds" and step == _DAY and _are_weekends(times, gap) else _ADD
        _raise_if(gap, times, where, "comes after a gap: rows are missing before it", add)
    return TimeGrid(np.concatenate([[0], steps.cumsum()]).astype(np.int64), step, unit)


def _are_weekends(times: pd.Series, gap: np.ndarray) -> bool:
    """Return whether no time is on a weekend, and a gap `(T - 1,)` is a single weekend."""
    days = times.to_numpy().astype("datetime64[D]")
    working = np.is_busday(days).all()
    return bool(working and (np.busday_count(days[:-1], days[1:])[gap] == 1).any())


def season_of(grid: TimeGrid) -> int:
    """Return the number of steps in a day, week or year, whichever is the first longer than a step; else 1."""
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
    first = times.to_numpy()[0]
    if grid.unit == "months":
        # If all times are month ends, 28 February is followed by 31 March, not by 28 March.
        later = pd.offsets.MonthEnd if times.dt.is_month_end.all() else _months
        return np.array([times.iloc[0] + later(int(step)) for step in steps], dtype="datetime64[us]")
    if grid.unit == "seconds":
        return first + (steps * 1e6).astype("timedelta64[us]")
    return first + steps


def _months(months: int) -> pd.DateOffset:
    return pd.DateOffset(months=months)


def _elapsed(times: pd.Series) -> tuple[np.ndarray, str]:
    """Return the times as numbers, and their unit: months if all rows are months apart, since months vary in length."""
    if not pd.api.types.is_datetime64_any_dtype(times):
        return times.to_numpy(dtype=np.float64), "numbers"
    seconds = (times - times.iloc[0]).dt.total_seconds().to_numpy()
    same_day = times.dt.day.nunique() == 1 or bool(times.dt.is_month_end.all())
    if len(times) > 1 and same_day and abs(np.diff(seconds)).min() >= 28 * _DAY:
        return (times.dt.year * 12 + times.dt.month).to_numpy(dtype=np.float64), "months"
    return seconds, "seconds"


def _raise_if(wrong: np.ndarray, times: pd.Series, where: Where, message: str, hint: str) -> None:
    """Raise an error that names the first row with a wrong distance to the previous row, and how many there are."""
    rows = np.flatnonzero(wrong) + 1
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

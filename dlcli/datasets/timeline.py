"""The times of a series: in order, each once, a fixed step apart; calendar months count as steps, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from dlcli.errors import DataError

# Names the place of a row, for messages.
Where = Callable[[int], str]

_DAY, _WEEK = 86_400.0, 604_800.0

_SORT = "Sort the file by time; several series in one file are told apart by dataset.id=COLUMN."


class Grid(NamedTuple):
    """Where times lie: whole numbers of steps behind the first `(T,)`; a step in seconds, months or plain numbers."""

    positions: np.ndarray
    step: float
    unit: str


def read_times(column: pd.Series, where: Where) -> pd.Series:
    """Dates (without a zone: in UTC) or numbers, as they can be compared.

    Raises:
        DataError: something is neither, or missing.
    """
    times = column
    if not pd.api.types.is_numeric_dtype(column):
        times = pd.to_datetime(column, format="mixed", errors="coerce", utc=True).dt.tz_localize(None)
    wrong = np.flatnonzero(times.isna().to_numpy())
    if len(wrong):
        value = column.iloc[wrong[0]]
        what = "a time is missing" if pd.isna(value) else f"{value!r} is no time"
        raise DataError(what, where(int(wrong[0])), "Give each row its time, such as 2024-01-31 13:00.")
    return times


def lay_out(times: pd.Series, where: Where, *, gaps: bool = False, edge: int = 0) -> Grid:
    """The grid that the times lie on; with `gaps` steps may be missing, and in front of the row `edge` anyway.

    Raises:
        DataError: times are out of order, twice there, not on a grid, or missing.
    """
    elapsed, unit = _elapsed(times)
    apart = np.diff(elapsed)
    _refuse(apart < 0, times, where, "comes before the row above it", _SORT)
    twice = "Keep one row for each time; several series in one file are told apart by dataset.id=COLUMN."
    _refuse(apart == 0, times, where, "is there twice", twice)
    sizes, counts = np.unique(apart, return_counts=True)
    step = float(sizes[counts.argmax()]) if len(sizes) else 1.0
    steps = apart / step
    resample = "Bring the series to a fixed step, such as with pandas' resample."
    _refuse(abs(steps - steps.round()) > 1e-3, times, where, "is no whole number of steps behind", resample)
    steps = steps.round().astype(np.int64)
    if not gaps:
        add = "Add the rows, or repeat the values before them: dataset.missing=forward."
        gap = (steps > 1) & (np.arange(1, len(times)) != edge)
        _refuse(gap, times, where, "comes after a gap: rows are missing before it", add)
    return Grid(np.concatenate([[0], steps.cumsum()]).astype(np.int64), step, unit)


def season_of(grid: Grid) -> int:
    """Steps after which a day, a week or a year comes again, whichever is the first above one step; else 1."""
    if grid.unit == "months":
        return int(12 / grid.step) if 12 % grid.step == 0 else 1
    if grid.unit == "seconds":
        if grid.step < _DAY:
            return int(_DAY / grid.step) if _DAY % grid.step == 0 else 1
        return {_DAY: 7, _WEEK: 52}.get(grid.step, 1)
    return 1


def fill(times: pd.Series, grid: Grid) -> np.ndarray:
    """Times of all steps: those that are there as they are, those that are missing as the grid has them."""
    when = _at(times, grid, np.arange(grid.positions[-1] + 1))
    when[grid.positions] = times.to_numpy()
    return when


def following(times: pd.Series, grid: Grid, steps: int) -> np.ndarray:
    """Times of the steps behind the last, as the grid has them."""
    return _at(times, grid, grid.positions[-1] + 1 + np.arange(steps))


def _at(times: pd.Series, grid: Grid, positions: np.ndarray) -> np.ndarray:
    """Times at positions of the grid, which counts from the first of the times."""
    steps = positions * grid.step
    first = times.to_numpy()[0]
    if grid.unit == "months":
        # The 28th of February may be the end of the month, or the 28th.
        later = pd.offsets.MonthEnd if times.dt.is_month_end.all() else _months
        return np.array([times.iloc[0] + later(int(step)) for step in steps], dtype="datetime64[us]")
    if grid.unit == "seconds":
        return first + (steps * 1e6).astype("timedelta64[us]")
    return first + steps


def _months(months: int) -> pd.DateOffset:
    return pd.DateOffset(months=months)


def _elapsed(times: pd.Series) -> tuple[np.ndarray, str]:
    """Numbers that grow with time, and their unit. Where all rows are months apart, months: those differ in length."""
    if not pd.api.types.is_datetime64_any_dtype(times):
        return times.to_numpy(dtype=np.float64), "numbers"
    seconds = (times - times.iloc[0]).dt.total_seconds().to_numpy()
    same_day = times.dt.day.nunique() == 1 or bool(times.dt.is_month_end.all())
    if len(times) > 1 and same_day and abs(np.diff(seconds)).min() >= 28 * _DAY:
        return (times.dt.year * 12 + times.dt.month).to_numpy(dtype=np.float64), "months"
    return seconds, "seconds"


def _refuse(wrong: np.ndarray, times: pd.Series, where: Where, what: str, hint: str) -> None:
    """Name the first row whose distance from the row before is wrong, and how many there are."""
    rows = np.flatnonzero(wrong) + 1
    if len(rows):
        more = f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""
        raise DataError(f"{times.iloc[rows[0]]} {what}{more}", where(int(rows[0])), hint)

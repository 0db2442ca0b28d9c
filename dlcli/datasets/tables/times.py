"""Warnings about peculiar times in the time column of a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlcli.datasets.tables.source import Source
from dlcli.errors import Problem

# Share of equal steps from which times are considered to have a fixed step.
_MOSTLY = 0.9


def time_warnings(source: Source, times: np.ndarray | None, column: str | None) -> Iterator[Problem]:
    """Yield warnings about times that decrease between rows, and about gaps in times with a fixed step.

    Args:
        source: the table.
        times: time of each row, a date or number; None if rows have no times.
        column: name of the time column.
    """
    if times is None or column is None or not len(times):
        return
    back = np.flatnonzero(times[1:] < times[:-1]) + 1
    if len(back):
        yield Problem(
            f"{_as_text(times[back[0]])} is before the time of the previous row{_more(back)}",
            source.place(int(back[0]), column),
            "Splits in time sort the rows by this column: check that it is the right one.",
        )
    points, rows = np.unique(times, return_index=True)
    apart = np.diff(points)
    sizes, counts = np.unique(apart, return_counts=True)
    if len(apart) and counts.max() >= _MOSTLY * len(apart):
        gaps = np.flatnonzero(apart > 1.5 * sizes[counts.argmax()]) + 1
        if len(gaps):
            yield Problem(
                f"{_as_text(points[gaps[0]])} comes after a gap: the previous time is "
                f"{_as_text(points[gaps[0] - 1])}{_more(gaps)}",
                source.place(int(rows[gaps[0]]), column),
                "Splits in time count only existing times: check whether rows are missing.",
            )


def _as_text(time: object) -> str:
    """Return a time in the usual notation."""
    return (
        str(np.datetime_as_string(time, unit="s")).replace("T", " ")
        if isinstance(time, np.datetime64)
        else f"{time}"
    )


def _more(rows: np.ndarray) -> str:
    return f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""

"""What is odd about the times that rows are split by: told, though the split takes them as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlcli.datasets.tables.source import Source
from dlcli.errors import Problem

# From this share of equal steps on, times are meant to be a fixed step apart.
_MOSTLY = 0.9


def odd_times(source: Source, times: np.ndarray | None, column: str | None) -> Iterator[Problem]:
    """Times that go back from one row to the next, and gaps between times that are a fixed step apart otherwise.

    Args:
        source: the rows.
        times: one a row, dates or numbers; None where rows have none.
        column: their name.
    """
    if times is None or column is None or not len(times):
        return
    back = np.flatnonzero(times[1:] < times[:-1]) + 1
    if len(back):
        yield Problem(
            f"{_named(times[back[0]])} comes before the row above it{_more(back)}",
            source.place(int(back[0]), column),
            "Splits in time sort the rows by it: look whether the column is the right one.",
        )
    points, rows = np.unique(times, return_index=True)
    apart = np.diff(points)
    sizes, counts = np.unique(apart, return_counts=True)
    if len(apart) and counts.max() >= _MOSTLY * len(apart):
        gaps = np.flatnonzero(apart > 1.5 * sizes[counts.argmax()]) + 1
        if len(gaps):
            yield Problem(
                f"{_named(points[gaps[0]])} comes after a gap: the time before it is "
                f"{_named(points[gaps[0] - 1])}{_more(gaps)}",
                source.place(int(rows[gaps[0]]), column),
                "Splits in time count the times that are there: look whether rows are lost.",
            )


def _named(time: object) -> str:
    """A time as people write it."""
    return (
        str(np.datetime_as_string(time, unit="s")).replace("T", " ")
        if isinstance(time, np.datetime64)
        else f"{time}"
    )


def _more(rows: np.ndarray) -> str:
    return f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""

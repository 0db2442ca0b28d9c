"""Check for overlapping targets of a series, applied to the splits of every strategy, including users' own."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.split import Part, Split

_PARTS: tuple[Part, ...] = ("train", "val", "test")


def check_overlap(data: Data, splits: list[Split]) -> None:
    """Raise an error if rows in two parts of a split forecast the same steps of a series.

    The input history of a row may lie in another part, because it is known when the forecast is made.

    Raises:
        DataError: there are such rows.
    """
    for split in splits:
        for part, other in combinations(_PARTS, 2):
            rows, others = split.rows(part), split.rows(other)
            if len(without_overlap(data, rows, others)) < len(rows):
                raise DataError(
                    f"rows of {data.name} in {part} and in {other} forecast the same steps",
                    where="cv",
                    hint="Split a series in time: choose cv=holdout or cv=time_series.",
                )


def without_overlap(data: Data, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return those of the rows whose targets share no step with the targets of the others."""
    if data.reach is None or data.times is None or len(others) == 0:
        return rows
    starts_of_others = np.sort(data.times[others])
    starts = data.times[rows]
    # The first of the others whose target ends at or after the row's start; it overlaps unless it starts after the end.
    nearest = np.searchsorted(starts_of_others, starts - data.reach)
    overlaps = (nearest < len(starts_of_others)) & (
        starts_of_others[np.minimum(nearest, len(starts_of_others) - 1)] <= starts + data.reach
    )
    return rows[~overlaps]

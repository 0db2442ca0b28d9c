"""Rows of a series whose targets overlap: a guard that every strategy passes, a user's own too."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.split import Part, Split

_PARTS: tuple[Part, ...] = ("train", "val", "test")


def check_overlap(data: Data, splits: list[Split]) -> None:
    """Refuse splits of a series where the steps that a row forecasts are forecast by a row of another part, too.

    The history that it looks back on may lie in another part: that is known when the forecast is made.

    Raises:
        DataError: there are such rows.
    """
    for split in splits:
        for part, other in combinations(_PARTS, 2):
            mine, theirs = split.rows(part), split.rows(other)
            if len(without_overlap(data, mine, theirs)) < len(mine):
                raise DataError(
                    f"rows of {data.name} in {part} and in {other} forecast the same steps",
                    where="cv",
                    hint="A series is split in time: choose cv=holdout or cv=time_series.",
                )


def without_overlap(data: Data, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of the rows whose targets share no step with those of the others."""
    if data.reach is None or data.times is None or len(others) == 0:
        return rows
    taken = np.sort(data.times[others])
    mine = data.times[rows]
    # The first of the others whose own reach comes as far as mine; it must begin behind mine.
    nearest = np.searchsorted(taken, mine - data.reach)
    overlaps = (nearest < len(taken)) & (taken[np.minimum(nearest, len(taken) - 1)] <= mine + data.reach)
    return rows[~overlaps]

"""Assign windows to training, validation and test by borders in time that the user sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dlcli.datasets.series_steps import Steps
from dlcli.errors import DataError

_NAMES = np.array(["train", "val", "test", ""])


def parts_by_borders(
    steps: Steps, origins: np.ndarray, horizon: int, borders: Sequence[int | str], file: Path
) -> np.ndarray:
    """Return the part of each window `(N,)`: train, val or test; "" if it crosses a border or lies after the test.

    Borders given as numbers of steps count within each series; borders given as times apply to all series.

    Raises:
        DataError: the borders are not two or three in increasing order, or a part contains no window.
    """
    part = np.full(len(origins), 3)
    several = len(steps.stretches.begins) > 1
    for begin, end in steps.spans():
        edges = [_border(border, steps.times[begin:end], file) for border in borders]
        if several:  # some series may begin after a border or end before it
            ends = [*(min(edge, end - begin) for edge in edges), end - begin][:3]
            ordered = ends == sorted(ends)
        else:
            ends = [*edges, end - begin][:3]
            ordered = ends == sorted({0, *ends})[1:] and ends[-1] <= end - begin
        if not (ordered and len(edges) in (2, 3)):
            raise DataError(
                f"the borders are at steps {', '.join(map(str, edges))} of {end - begin:,}",
                "dataset.borders",
                "Give, in increasing order, the start of validation, the start of test and (optional) the end of test.",
            )
        own = np.flatnonzero((origins >= begin) & (origins < end))
        first = origins[own] - begin
        begins, stops = (np.searchsorted(ends, step, side="right") for step in (first, first + horizon - 1))
        part[own] = np.where(begins == stops, begins, 3)
    for number, name in enumerate(_NAMES[:3]):
        if not (part == number).any():
            raise DataError(
                f"no window lies within {name}",
                "dataset.borders",
                f"Give {name} at least as many steps as the horizon ({horizon}).",
            )
    return _NAMES[part]


def _border(border: int | str, times: np.ndarray, file: Path) -> int:
    """Return a border as a number of steps."""
    if isinstance(border, int):
        return border
    try:
        return int(np.searchsorted(times, np.datetime64(pd.Timestamp(border))))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{border!r} is not a time", "dataset.borders", f"Write it like the times of {file}: {times[0]}."
        ) from error

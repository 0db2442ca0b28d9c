"""Find numbers beside which all others of a column vanish."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dlcli.datasets.tables.typed_frames import kind_of
from dlcli.datasets.windows import History
from dlcli.errors import Problem

# 32-bit numbers have 7 digits: in units of a number that is so many times farther from the median than half of the
# others are, these are equal.
_TIMES = 1e7

# If all others are equal, they have no scale. Squares of larger numbers are infinite as 32-bit numbers.
_LARGEST = float(np.sqrt(np.finfo(np.float32).max))


def find_far_numbers(sample: pd.DataFrame, x: object) -> Iterator[Problem]:
    """Yield a warning for each column with a number that is far from all others, such as 1e30 for a missing value.

    Args:
        sample: rows of a table; empty for other data.
        x: the raw rows; for forecasts, the values of the series are compared.
    """
    if isinstance(x, History):
        for number, name in enumerate(x.columns):
            yield from _far(x.values[:, number], f"variable {name}")
    for name in sample.columns:
        if kind_of(sample[name]) == "numeric":
            yield from _far(sample[name].to_numpy(np.float64, na_value=np.nan), f"column {name}")


def _far(values: np.ndarray, where: str) -> Iterator[Problem]:
    known = values[np.isfinite(values)]
    if not len(known):
        return
    median = float(np.median(known))
    distances = np.abs(known - median)
    farthest = int(distances.argmax())
    if distances[farthest] > _limit(distances, median):
        yield Problem(
            f"{known[farthest]:.3g} is so far from the other numbers that these are equal beside it",
            where,
            "Correct it, or remove it: losses and metrics may be 0 or infinite because of it.",
        )


def _limit(distances: np.ndarray, median: float) -> float:
    """Return the distance from the median up to which a number is not far.

    If most numbers are equal, as in series that are mostly 0, the others are compared with each other.
    """
    if usual := float(np.median(distances)):
        return _TIMES * usual
    others = distances[(distances > 0) & (distances < distances.max())]
    return _TIMES * float(np.median(others)) if len(others) else max(_TIMES * abs(median), _LARGEST)

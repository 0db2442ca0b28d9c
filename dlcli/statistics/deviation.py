"""The deviation that values are scaled by: 1 where what there is of it is rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def deviations(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each column of `(N, F)`; 1, which leaves it its scale, where it never changes: `(F,)`."""
    # A column at a time is summed in pairs; along the rows, rounding would grow with them.
    std = np.array([column.std() for column in values.T])
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    return scales(std, largest, len(values))


def scales(std: ArrayLike, largest: ArrayLike, rows: int) -> np.ndarray:
    """Deviations, 1 where they are no more than the rounding of so many values, of which the `largest` counts.

    A sensor that stands at 21.3 has a deviation of 1e-15 or so, by which 21.4 would be far away. scikit-learn's
    StandardScaler leaves such features alone, too.
    """
    rounding = 10 * np.finfo(np.float64).eps * np.asarray(largest) * np.sqrt(rows)
    return np.where(np.asarray(std) > rounding, std, 1.0)

"""Standard deviations for scaling, with 1 for constant values, whose computed deviation is a rounding error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def deviations(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column of `(N, F)`, or 1 for a constant column: `(F,)`."""
    # Column by column, since NumPy uses pairwise summation for a single column. Sums along the first axis of the matrix
    # would accumulate rounding errors.
    std = np.array([column.std() for column in values.T])
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    return scales(std, largest, len(values))


def scales(std: ArrayLike, largest: ArrayLike, rows: int) -> np.ndarray:
    """Return the standard deviations, with 1 in place of those within the rounding error.

    A feature that is always 21.3 has a computed deviation of about 1e-15, so the scaled value of 21.4 would be huge.
    scikit-learn's StandardScaler does not scale such features, either.

    Args:
        std: Standard deviations, `(F,)`.
        largest: Largest absolute values, `(F,)`.
        rows: Number of values of each feature.
    """
    rounding = 10 * np.finfo(np.float64).eps * np.asarray(largest) * np.sqrt(rows)
    return np.where(np.asarray(std) > rounding, std, 1.0)

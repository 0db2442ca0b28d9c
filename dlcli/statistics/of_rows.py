"""Confidence intervals of means over independent rows, such as the accuracy on the test rows of a hold-out.

They cover the choice of the test rows only, not that of the training rows or the seed.
"""

from __future__ import annotations

import math

import numpy as np

# The quantile of the normal distribution for an interval of 95 %.
_Z = 1.959963984540054


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927; recommended for small numbers
    by Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001.

    Args:
        hits: number of rows with the property.
        rows: number of all rows, at least 1.
    """
    share, square = hits / rows, _Z**2
    middle = share + square / (2 * rows)
    reach = _Z * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    below = 1 + square / rows
    return max(0.0, (middle - reach) / below), min(1.0, (middle + reach) / below)


def difference_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a - b by the normal approximation.

    Args:
        a: one value per row, `(N,)`, N >= 2.
        b: values of the same rows, `(N,)`.
    """
    differences = a - b
    reach = _Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return float(differences.mean()) - reach, float(differences.mean()) + reach


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of nonnegative values, such as absolute errors.

    It uses the normal approximation and does not extend below 0.

    Args:
        values: one value per row, `(N,)`, N >= 2.
    """
    mean = float(values.mean())
    reach = _Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return max(0.0, mean - reach), mean + reach

"""Power of paired tests: the data required to detect a difference of the observed size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

# The power that is planned for, as is usual (Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988).
POWER = 0.8

_MOST = 10_000  # folds


def power_of_folds(mean: float, deviation: float, folds: int, ratio: float, alpha: float = 0.05) -> float:
    """Return the power of the corrected paired t-test: the probability of detecting a difference.

    Under the model of Nadeau and Bengio (2003), differences of folds are normal with equal correlations
    `n_test / (n_train + n_test)`, the test's statistic follows the noncentral t distribution with J - 1 degrees of
    freedom and noncentrality `mean / (deviation sqrt(1/J + n_test/n_train))`.

    Args:
        mean: The true difference.
        deviation: Standard deviation of the differences within a set of folds, ddof 1.
        folds: Number of folds J, at least 2.
        ratio: Test rows per training row, `n_test / n_train`.
        alpha: Level of the two-sided test.
    """
    shift = abs(mean) / (deviation * math.sqrt(1 / folds + ratio))
    limit = float(stats.t.ppf(1 - alpha / 2, folds - 1))
    found = stats.nct.sf(limit, folds - 1, shift) + stats.nct.cdf(-limit, folds - 1, shift)
    return float(np.nan_to_num(found, nan=1.0))  # scipy has no value far in the tail


def folds_needed(differences: ArrayLike, ratio: float, alpha: float = 0.05) -> int | None:
    """Return the number of folds that detects a difference of the observed mean and deviation.

    It is the smallest number with a power of `POWER`; None if there is none, since more folds of the same rows
    cannot compensate for overlapping training rows.

    Args:
        differences: One difference per fold, `(J,)`.
        ratio: Test rows per training row of a fold.
        alpha: Level of the two-sided test.
    """
    values = np.asarray(differences, dtype=float)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if mean == 0 or deviation == 0:
        return None
    low, high = 2, _MOST
    if power_of_folds(mean, deviation, high, ratio, alpha) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        if power_of_folds(mean, deviation, middle, ratio, alpha) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


def rows_needed(mean: float, low: float, high: float, rows: int, alpha: float = 0.05) -> int | None:
    """Return the number of test rows that detects a difference of the observed size with a power of `POWER`.

    The standard error of the mean falls with the root of the rows: `n ((z + z') se / mean)^2`, where z and z' are the
    normal quantiles of `1 - alpha / 2` and of the power, and se follows from the 95 % interval.

    Args:
        mean: The observed difference.
        low: Lower end of its 95 % interval.
        high: Its upper end.
        rows: Number of test rows.
        alpha: Level of the two-sided test.
    """
    se = (high - low) / (2 * float(stats.norm.ppf(0.975)))
    if mean == 0 or se <= 0 or not math.isfinite(se):
        return None
    reach = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(POWER)) * se
    return max(rows, math.ceil(rows * (reach / mean) ** 2))

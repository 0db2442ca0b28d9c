"""The mean over folds, its confidence interval and its variance components."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit  # scipy.stats.t.ppf; the import of scipy.stats takes a second


@dataclass(frozen=True)
class Interval:
    """Mean and standard deviation over folds, standard error of the mean, and confidence interval of the mean."""

    mean: float
    std: float
    se: float
    low: float
    high: float

    def within(self, lowest: float | None, highest: float | None) -> Interval:
        """Return the interval clipped to the range of the metric, which does not change its coverage."""
        low = self.low if lowest is None else max(self.low, lowest)
        return replace(self, low=low, high=self.high if highest is None else min(self.high, highest))


# The interval of a mean without any values.
UNDEFINED = Interval(math.nan, math.nan, math.nan, math.nan, math.nan)


def corrected_variance(values: ArrayLike, n_train: float, n_test: float) -> float:
    """Return the variance of the mean of resampled values, corrected for overlapping training sets.

    The formula is (1/J + n_test/n_train) s^2: Nadeau and Bengio, "Inference for the Generalization Error", Machine
    Learning 52, 2003, section 3. Bouckaert and Frank, "Evaluating the Replicability of Significance Tests for Comparing
    Learning Algorithms", 2004, also use it for repeated k-fold. The uncorrected 1/J treats the folds as independent,
    and gives intervals that are too short.

    Args:
        values: One value per fold, `(J,)`.
        n_train: Number of training rows of a fold.
        n_test: Number of test rows of a fold.
    """
    array = np.asarray(values, dtype=float)
    return (1 / len(array) + n_test / n_train) * float(array.var(ddof=1))


def corrected_interval(
    values: ArrayLike, n_train: float, n_test: float, confidence: float = 0.95
) -> Interval:
    """Return the confidence interval of the mean of resampled values, by Student's t with J - 1 degrees of freedom.

    For a single value everything except the mean is NaN.

    Args:
        values: One value per fold, `(J,)`.
        n_train: Number of training rows of a fold.
        n_test: Number of test rows of a fold.
        confidence: Confidence level, between 0 and 1.
    """
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, math.nan, math.nan, math.nan, math.nan)
    se = math.sqrt(corrected_variance(array, n_train, n_test))
    # The quantile of Student's t; scipy.stats, which has it too, takes a second to import.
    reach = float(stdtrit(len(array) - 1, (1 + confidence) / 2)) * se
    return Interval(mean, float(array.std(ddof=1)), se, mean - reach, mean + reach)


@dataclass(frozen=True)
class Components:
    """The variance of a metric, split into its sources."""

    folds: float
    seeds: float


def variance_components(values: Sequence[Sequence[float]]) -> Components:
    """Split the variance of values `(folds, seeds)` into the variance between folds and between training seeds.

    This is the one-way random-effects analysis of variance (Searle, Casella and McCulloch, "Variance Components", 1992,
    section 3.3): within a fold only the seed differs. Negative estimates are set to 0.
    """
    array = np.asarray(values, dtype=float)
    within = float(array.var(axis=1, ddof=1).mean())
    between = float(array.mean(axis=1).var(ddof=1)) if len(array) > 1 else 0.0
    return Components(folds=max(0.0, between - within / array.shape[1]), seeds=within)

"""The mean over folds, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Interval:
    """Mean, standard deviation over folds, standard error of the mean, and its confidence interval."""

    mean: float
    std: float
    se: float
    low: float
    high: float

    def within(self, lowest: float | None, highest: float | None) -> Interval:
        """Without what lies beyond the values that the figure can have: it covers the truth as often as before."""
        low = self.low if lowest is None else max(self.low, lowest)
        return replace(self, low=low, high=self.high if highest is None else min(self.high, highest))


def corrected_variance(values: ArrayLike, n_train: float, n_test: float) -> float:
    """The variance of the mean of resampled figures `(J,)`, corrected for training sets that overlap.

    (1/J + n_test/n_train) s^2: Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003,
    section 3, with n_train and n_test the rows that a fold learns from and is tested on. Bouckaert and Frank,
    "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms", 2004, use it for repeated
    k-fold too.
    The plain 1/J counts the folds as independent, and gives intervals that are too short.
    """
    array = np.asarray(values, dtype=float)
    return (1 / len(array) + n_test / n_train) * float(array.var(ddof=1))


def corrected_interval(
    values: ArrayLike, n_train: float, n_test: float, confidence: float = 0.95
) -> Interval:
    """The interval for the mean of resampled figures `(J,)`, by Student's t with J - 1 degrees of freedom.

    One figure alone has a mean and nothing else: the rest is NaN.
    """
    from scipy import stats

    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, math.nan, math.nan, math.nan, math.nan)
    se = math.sqrt(corrected_variance(array, n_train, n_test))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(array) - 1)) * se
    return Interval(mean, float(array.std(ddof=1)), se, mean - reach, mean + reach)


@dataclass(frozen=True)
class Components:
    """The variance of a figure, split by its source."""

    folds: float
    seeds: float


def variance_components(values: Sequence[Sequence[float]]) -> Components:
    """Split the variance of figures `(folds, seeds)` into that of folds and that of training seeds.

    The one-way random-effects analysis of variance (Searle, Casella and McCulloch, "Variance Components", 1992, section
    3.3): within a fold only the seed differs. An estimate below 0 counts as 0.
    """
    array = np.asarray(values, dtype=float)
    within = float(array.var(axis=1, ddof=1).mean())
    between = float(array.mean(axis=1).var(ddof=1)) if len(array) > 1 else 0.0
    return Components(folds=max(0.0, between - within / array.shape[1]), seeds=within)

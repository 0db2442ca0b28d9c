"""Tests of several models on the same folds: Friedman test, Nemenyi's critical difference, Holm's correction.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", Journal of Machine Learning Research 7, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Ranking:
    """Mean ranks `(k,)` (1 is the best), p-value of the Friedman test, and Nemenyi's critical difference."""

    ranks: tuple[float, ...]
    p: float
    critical_difference: float


def friedman(table: ArrayLike, *, higher_is_better: bool = True) -> Ranking:
    """Return the Friedman test of metrics `(N, k)`: N folds (or datasets), k >= 3 models.

    Two models are not significantly different at 5 % if their mean ranks are closer than q sqrt(k (k + 1) / (6 N)),
    where q is the quantile of the Studentized range divided by sqrt(2) (Nemenyi; Demsar, section 3.2.2).
    """
    figures = np.asarray(table, dtype=float)
    count, models = figures.shape
    ranks = stats.rankdata(-figures if higher_is_better else figures, axis=1)
    alike = bool((ranks == ranks[:, :1]).all())
    p = 1.0 if alike else float(stats.friedmanchisquare(*figures.T).pvalue)
    q = float(stats.studentized_range.ppf(0.95, models, np.inf)) / math.sqrt(2)
    difference = q * math.sqrt(models * (models + 1) / (6 * count))
    return Ranking(tuple(ranks.mean(axis=0).tolist()), p, difference)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values that control the family-wise error rate (Holm, 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for position, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = highest
    return adjusted.tolist()

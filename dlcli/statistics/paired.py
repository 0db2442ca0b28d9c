"""Paired tests of two models, A and B, on the same folds or rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dlcli.statistics.interval import corrected_variance

_DRAWS = 10_000
# For a metric that is recomputed for each draw.
_LEAST_DRAWS, _MOST_DRAWS = 200, 1000


@dataclass(frozen=True)
class Difference:
    """B minus A: the mean difference, its 95 % interval, the p-value and the name of the test."""

    mean: float
    low: float
    high: float
    p: float
    test: str


def corrected_paired_t(a: ArrayLike, b: ArrayLike, n_train: float, n_test: float) -> Difference:
    """Return the corrected paired t-test of values `(J,)` from the same J resamplings.

    t = mean(d) / sqrt((1/J + n_test/n_train) var(d)) with J - 1 degrees of freedom: Nadeau and Bengio, "Inference for
    the Generalization Error", Machine Learning 52, 2003, section 3. The uncorrected paired t-test finds differences
    between folds that do not exist, because their training sets overlap (Dietterich, 1998).
    """
    differences = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    mean, count = float(differences.mean()), len(differences)
    se = math.sqrt(corrected_variance(differences, n_train, n_test))
    name = "corrected paired t-test"
    if se == 0:
        # All differences are equal, so that their variance cannot be estimated: use the exact sign-flip test.
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 2.0 ** (1 - count), name)
    reach = float(stats.t.ppf(0.975, count - 1)) * se
    p = 2 * float(stats.t.sf(abs(mean) / se, count - 1))
    return Difference(mean, mean - reach, mean + reach, p, name)


def signed_rank_p(a: ArrayLike, b: ArrayLike) -> float:
    """Return the p-value of the signed-rank test (Wilcoxon, 1945) for pairs `(J,)`; 1 if all pairs are equal.

    The test assumes independent pairs, which folds are not. It is reported in addition to the corrected t-test.
    """
    differences = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> float:
    """Return the p-value of the exact McNemar test of two classifiers on the same rows.

    The test uses the rows that exactly one classifier predicts correctly (McNemar, 1947). Under the null hypothesis,
    the number of them for either classifier is binomial with probability 1/2.

    Args:
        right_a: Whether classifier A is correct, booleans `(N,)`.
        right_b: Whether classifier B is correct, booleans `(N,)`.
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b).pvalue)


def paired_bootstrap(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Difference:
    """Return the mean of b - a, values of the same rows `(N,)`, with its percentile interval and p-value.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3. Rows are resampled while the models
    are fixed, so the variation between training runs is not included.
    """
    differences = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    mean = float(differences.mean())
    random = np.random.default_rng(seed)
    # Several draws at a time, limited by memory.
    at_once = max(1, 1_000_000 // len(differences))
    means = np.concatenate(
        [
            random.choice(differences, size=(min(at_once, _DRAWS - done), len(differences))).mean(axis=1)
            for done in range(0, _DRAWS, at_once)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(mean, float(low), float(high), _bootstrap_p(means), "paired bootstrap")


def paired_bootstrap_of(
    a: Callable[[np.ndarray], float], b: Callable[[np.ndarray], float], rows: int, seed: int = 0
) -> Difference | None:
    """Return the paired bootstrap of a metric that is not a mean over rows, such as f1.

    Draws for which the metric is undefined (a class without rows) are ignored.

    Args:
        a: Returns the metric of model A on row positions `(rows,)`, which may be repeated.
        b: Returns the metric of model B.
        rows: Number of rows.
        seed: Seed of the draws.

    Returns:
        The difference; None if the metric is undefined on all rows.
    """
    everything = np.arange(rows)
    mean = b(everything) - a(everything)
    if not math.isfinite(mean):
        return None
    random = np.random.default_rng(seed)
    # Each draw computes the metric on all rows. With many rows fewer draws are made, so that it takes seconds.
    draws = int(np.clip(20_000_000 // rows, _LEAST_DRAWS, _MOST_DRAWS))
    drawn_rows = (random.integers(rows, size=rows) for _ in range(draws))
    found = np.array([b(drawn) - a(drawn) for drawn in drawn_rows])
    found = found[np.isfinite(found)]
    if not len(found):
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return Difference(mean, float(low), float(high), _bootstrap_p(found), "paired bootstrap")


def _bootstrap_p(found: np.ndarray) -> float:
    """Return the two-sided p-value of bootstrapped differences.

    One is added to the counts, so that the p-value of a finite number of draws is not 0 (Davison and Hinkley,
    "Bootstrap Methods and Their Application", 1997, section 4.2).
    """
    less, more = ((int(side.sum()) + 1) / (len(found) + 1) for side in (found <= 0, found >= 0))
    return min(1.0, 2 * min(less, more))

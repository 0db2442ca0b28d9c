"""Is B really better than A? Tests of figures that belong together in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dlcli.statistics.interval import corrected_variance

_DRAWS = 10_000


@dataclass(frozen=True)
class Difference:
    """B minus A: the mean, its 95 % interval, and the probability of one as large where there is none."""

    mean: float
    low: float
    high: float
    p: float
    test: str


def corrected_paired_t(a: ArrayLike, b: ArrayLike, n_train: float, n_test: float) -> Difference:
    """The paired t-test for figures `(J,)` of the same J resamplings.

    t = mean(d) / sqrt((1/J + n_test/n_train) var(d)) with J - 1 degrees of freedom: Nadeau and Bengio, "Inference for
    the Generalization Error", Machine Learning 52, 2003, section 3. The plain paired t-test finds differences in
    folds where there are none, because their training sets overlap (Dietterich, 1998).
    """
    from scipy import stats

    differences = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    mean, count = float(differences.mean()), len(differences)
    se = math.sqrt(corrected_variance(differences, n_train, n_test))
    name = "corrected paired t-test"
    if se == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, name)
    reach = float(stats.t.ppf(0.975, count - 1)) * se
    p = 2 * float(stats.t.sf(abs(mean) / se, count - 1))
    return Difference(mean, mean - reach, mean + reach, p, name)


def wilcoxon(a: ArrayLike, b: ArrayLike) -> float:
    """The p-value of the signed-rank test (Wilcoxon, 1945) for pairs `(J,)`; 1 where all are equal.

    It assumes independent pairs, which folds are not: it stands beside the corrected t-test, not in its place.
    """
    from scipy import stats

    differences = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> float:
    """The p-value of the exact test whether two classifiers are right equally often on the same rows `(N,)`, booleans.

    Only rows count on which one of them alone is right (McNemar, 1947): a fair coin for each, by the binomial.
    """
    from scipy import stats

    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b).pvalue)


def paired_bootstrap(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Difference:
    """The mean difference of figures of the same rows `(N,)`, its percentile interval and p-value.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3. Rows are drawn, models are fixed: it
    says nothing of what another training would give.
    """
    differences = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    mean = float(differences.mean())
    random = np.random.default_rng(seed)
    # Several draws at a time, but no more than the memory has room for if there are many rows.
    at_once = max(1, 1_000_000 // len(differences))
    means = np.concatenate(
        [
            random.choice(differences, size=(min(at_once, _DRAWS - done), len(differences))).mean(axis=1)
            for done in range(0, _DRAWS, at_once)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    p = min(1.0, 2 * min(float((means <= 0).mean()), float((means >= 0).mean())))
    return Difference(mean, float(low), float(high), p, "paired bootstrap")


def paired_bootstrap_of(
    a: Callable[[np.ndarray], float], b: Callable[[np.ndarray], float], rows: int, seed: int = 0
) -> Difference | None:
    """The same for figures that are no means over rows, such as f1: `a` and `b` say what some of the rows are worth.

    Both are given positions `(rows,)` among the rows, of which some come twice and others not at all. Draws without a
    figure (no row of a class) are left out; None where there is no figure of all rows.
    """
    everything = np.arange(rows)
    mean = b(everything) - a(everything)
    if not math.isfinite(mean):
        return None
    random = np.random.default_rng(seed)
    # Each draw judges all rows anew: fewer where they are many, lest it take minutes.
    draws = int(np.clip(20_000_000 // rows, 200, 1000))
    drawn_rows = (random.integers(rows, size=rows) for _ in range(draws))
    found = np.array([b(drawn) - a(drawn) for drawn in drawn_rows])
    found = found[np.isfinite(found)]
    if not len(found):
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    # One is added, for no p-value of so few draws is 0 (Davison and Hinkley, "Bootstrap Methods", 1997, section 4.2).
    less, more = ((int(side.sum()) + 1) / (len(found) + 1) for side in (found <= 0, found >= 0))
    return Difference(mean, float(low), float(high), min(1.0, 2 * min(less, more)), "paired bootstrap")

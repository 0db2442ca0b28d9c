"""Comparison with scipy, with published examples, and on data without differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dlcli.statistics.interval import corrected_interval, variance_components
from dlcli.statistics.mean_ranks import friedman, holm
from dlcli.statistics.paired import (
    corrected_paired_t,
    mcnemar,
    paired_bootstrap,
    paired_bootstrap_of,
    signed_rank_p,
)

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(0.90, 0.02, 10)
B = A + RANDOM.normal(0.01, 0.01, 10)


def test_without_overlap_the_correction_vanishes() -> None:
    ours = corrected_paired_t(A, B, n_train=1, n_test=0)
    theirs = stats.ttest_rel(B, A)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    interval = corrected_interval(A, n_train=1, n_test=0)
    assert (interval.low, interval.high) == pytest.approx(stats.t.interval(0.95, 9, A.mean(), stats.sem(A)))


def test_the_correction_is_that_of_scikit_learn_s_example() -> None:
    # scikit-learn, "Statistical comparison of models using grid search": corrected_std and compute_corrected_ttest.
    differences, n_train, n_test = B - A, 90, 10
    corrected = np.sqrt(np.var(differences, ddof=1) * (1 / 10 + n_test / n_train))
    t = np.mean(differences) / corrected
    assert corrected_paired_t(A, B, n_train, n_test).p == pytest.approx(2 * stats.t.sf(np.abs(t), 9))
    plain, wide = corrected_interval(A, 1, 0), corrected_interval(A, 90, 10)
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(np.sqrt(1 + 10 / 9))


def test_one_figure_has_no_interval() -> None:
    interval = corrected_interval([0.5], 90, 10)
    assert interval.mean == 0.5
    assert np.isnan([interval.std, interval.se, interval.low, interval.high]).all()


def test_equal_metrics_are_not_a_difference() -> None:
    assert corrected_paired_t(A, A, 90, 10).p == 1
    assert signed_rank_p(A, A) == 1
    assert mcnemar([True, False], [True, False]) == 1


def test_wilcoxon_of_the_published_example() -> None:
    # Demsar (2006), table 2: AUC of C4.5 and C4.5+m on 14 datasets; T = 12, significant at 5 %.
    c45 = [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1.0, .940, .619, .972, .957]  # fmt: skip
    c45m = [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1.0, .962, .666, .981, .978]  # fmt: skip
    assert signed_rank_p(c45, c45m) < 0.05


def test_friedman_of_the_published_example() -> None:
    # Demsar (2006), table 6: four variants of C4.5 on 14 datasets. Its mean ranks, chi-square (9.28, without scipy's
    # correction for ties) and critical difference (1.25).
    table = [
        [.763, .768, .771, .798], [.599, .591, .590, .569], [.954, .971, .968, .967], [.628, .661, .654, .657],
        [.882, .888, .886, .898], [.936, .931, .916, .931], [.661, .668, .609, .685], [.583, .583, .563, .625],
        [.775, .838, .866, .875], [1.0, 1.0, 1.0, 1.0], [.940, .962, .965, .962], [.619, .666, .614, .669],
        [.972, .981, .9751, .975], [.957, .978, .946, .970],
    ]  # fmt: skip
    found = friedman(table)
    assert found.ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=6e-4)
    assert 12 * 14 / 20 * (np.square(found.ranks).sum() - 25) == pytest.approx(9.28, abs=0.01)
    assert found.p == pytest.approx(stats.friedmanchisquare(*np.array(table).T).pvalue)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert friedman(-np.array(table), higher_is_better=False).ranks == pytest.approx(found.ranks)


@pytest.mark.parametrize(("models", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_the_table(models: int, q: float) -> None:
    # Demsar (2006), table 5a, with N = 6 so that the root is sqrt(k (k + 1)) / 6.
    difference = friedman(RANDOM.normal(size=(6, models))).critical_difference
    assert difference == pytest.approx(q * np.sqrt(models * (models + 1) / 36), abs=2e-3)


def test_mcnemar_is_the_binomial_on_the_rows_that_differ() -> None:
    a = np.array([True] * 80 + [False] * 20)
    b = np.array([True] * 75 + [False] * 5 + [True] * 12 + [False] * 8)
    assert mcnemar(a, b) == pytest.approx(stats.binomtest(5, 17).pvalue)


def test_holm_of_the_published_example() -> None:
    # Demsar (2006), section 3.2.2 orders p = .016, .049, .053 of k - 1 = 3 tests: only .016 < .05 / 3.
    assert holm([0.053, 0.016, 0.049]) == pytest.approx([0.098, 0.048, 0.098])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_the_bootstrap_agrees_with_the_t_interval_where_that_holds() -> None:
    x, y = RANDOM.normal(0, 1, 400), RANDOM.normal(0.2, 1, 400)
    found = paired_bootstrap(x, y)
    expected = stats.ttest_rel(y, x)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), abs=0.015)
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)


def test_variance_components_are_found_again() -> None:
    folds = RANDOM.normal(0, 0.03, size=(4000, 1))
    found = variance_components(folds + RANDOM.normal(0, 0.01, size=(4000, 5)))
    assert found.folds**0.5 == pytest.approx(0.03, rel=0.05)
    assert found.seeds**0.5 == pytest.approx(0.01, rel=0.05)
    assert variance_components(RANDOM.normal(size=(3, 2))).folds >= 0


def figures_of(x: np.ndarray, y: np.ndarray, tests: list[np.ndarray]) -> list[float]:
    """Return accuracies on held-out rows of a least-squares classifier."""
    figures = []
    for test in tests:
        train = np.setdiff1d(np.arange(len(x)), test)
        weights, *_ = np.linalg.lstsq(x[train], y[train], rcond=None)
        figures.append(float((np.sign(x[test] @ weights) == y[test]).mean()))
    return figures


@pytest.mark.parametrize("folds", [10, None], ids=["ten folds", "15 hold-outs of a third"])
def test_at_most_five_in_a_hundred_false_alarms(folds: int | None) -> None:
    """Compare 500 pairs of learners that are equally good by construction, with real resampling in closed form.

    Each learner uses one half of the features, and the halves are exchangeable.
    """
    random = np.random.default_rng(1)
    corrected = plain = 0
    for _ in range(500):
        x = random.normal(size=(150, 10))
        y = np.sign(x.sum(axis=1) + random.normal(size=150))
        if folds:
            tests = np.array_split(random.permutation(150), folds)
        else:
            tests = [random.permutation(150)[:50] for _ in range(15)]
        a, b = figures_of(x[:, :5], y, tests), figures_of(x[:, 5:], y, tests)
        corrected += corrected_paired_t(a, b, 150 - len(tests[0]), len(tests[0])).p < 0.05
        plain += corrected_paired_t(a, b, 1, 0).p < 0.05
    print(f"false alarms: corrected {corrected / 500:.1%}, plain {plain / 500:.1%}")
    assert corrected <= 0.05 * 500
    if not folds:
        assert plain > 0.2 * 500


def test_the_bootstrap_of_any_figure_is_that_of_means() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(0, 1, 400), random.normal(0.2, 1, 400)
    means = paired_bootstrap(a, b)
    found = paired_bootstrap_of(lambda rows: a[rows].mean(), lambda rows: b[rows].mean(), 400)
    assert found is not None
    assert found.mean == pytest.approx(means.mean)
    assert (found.low, found.high, found.p) == pytest.approx((means.low, means.high, means.p), abs=0.02)
    assert paired_bootstrap_of(lambda rows: np.nan, lambda rows: 1.0, 400) is None
    same = paired_bootstrap_of(lambda rows: a[rows].mean(), lambda rows: a[rows].mean(), 400)
    assert same is not None
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)

"""Statistics compared with values computed by hand or by enumerating all cases."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dlcli.statistics.deviation import deviations
from dlcli.statistics.edit_distance import edit_distances
from dlcli.statistics.interval import Components, Interval, corrected_interval, variance_components
from dlcli.statistics.mean_ranks import friedman
from dlcli.statistics.of_rows import difference_interval, mean_interval, wilson_interval
from dlcli.statistics.paired import (
    Difference,
    corrected_paired_t,
    mcnemar,
    paired_bootstrap,
    paired_bootstrap_of,
    signed_rank_p,
)


def test_an_interval_of_two_figures() -> None:
    # The variance of 1 and 3 is 2, corrected (1/2 + 1/2) 2; Student's t with 1 degree of freedom is 12.706.
    found = corrected_interval([1, 3], n_train=2, n_test=1)
    assert (found.mean, found.std, found.se) == pytest.approx((2, 2**0.5, 2**0.5))
    assert (found.low, found.high) == pytest.approx((2 - 12.706 * 2**0.5, 2 + 12.706 * 2**0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((None, None), (-0.1, 1.2)),
        ((0.0, None), (0.0, 1.2)),
        ((None, 1.0), (-0.1, 1.0)),
        ((0.0, 1.0), (0.0, 1.0)),
        ((-5.0, 5.0), (-0.1, 1.2)),
    ],
)
def test_an_interval_is_clipped_to_the_bounds_of_the_metric(
    bounds: tuple[float | None, float | None], expected: tuple[float, float]
) -> None:
    whole = Interval(0.5, 0.3, 0.2, -0.1, 1.2)
    assert whole.within(*bounds) == Interval(0.5, 0.3, 0.2, *expected)


def test_variance_components_of_two_folds() -> None:
    # Within folds the variance is 2; the folds' means 2 and 6 have variance 8, of which 2 / 2 comes from the seeds.
    assert variance_components([[1, 3], [5, 7]]) == Components(folds=7.0, seeds=2.0)


def test_a_single_fold_has_no_variance_of_folds() -> None:
    assert variance_components([[1, 2]]) == Components(folds=0.0, seeds=0.5)


def test_a_difference_of_two_folds() -> None:
    found = corrected_paired_t([0, 0], [1, 3], n_train=2, n_test=1)
    assert found.mean == 2
    assert (found.low, found.high) == pytest.approx((2 - 12.706 * 2**0.5, 2 + 12.706 * 2**0.5), rel=1e-4)
    # With 1 degree of freedom, Student's t is Cauchy's distribution.
    assert found.p == pytest.approx(1 - 2 * np.arctan(2**0.5) / np.pi)
    assert "t-test" in found.test


def test_equal_differences_in_all_folds_have_the_p_of_their_signs() -> None:
    found = corrected_paired_t([1, 2, 3], [2, 3, 4], 90, 10)
    assert (found.mean, found.low, found.high, found.p) == (1, 1, 1, 1 / 4)
    assert "t-test" in found.test
    same = corrected_paired_t([1, 2, 3], [1, 2, 3], 90, 10)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_equal_models_have_equal_ranks_and_p_1() -> None:
    found = friedman([[0.5, 0.5, 0.5], [0.7, 0.7, 0.7]])
    assert found.ranks == (2, 2, 2)
    assert found.p == 1


def by_mean(differences: np.ndarray) -> Difference:
    return paired_bootstrap(np.zeros_like(differences), differences)


def by_any_figure(differences: np.ndarray) -> Difference:
    found = paired_bootstrap_of(lambda rows: 0.0, lambda rows: differences[rows].mean(), len(differences))
    assert found is not None
    return found


BOOTSTRAPS = pytest.mark.parametrize(("bootstrap", "sigma"), [(by_mean, 0.01), (by_any_figure, 0.032)])


@BOOTSTRAPS
@pytest.mark.parametrize("sign", [1, -1])
def test_the_bootstrap_agrees_with_the_enumeration_of_all_draws(
    bootstrap: Callable[[np.ndarray], Difference], sigma: float, sign: int
) -> None:
    """A mean of 0, which many draws have, counts for both sides of the test."""
    differences = sign * np.array([-1.0, 1.0, 1.0, 1.0])
    means = np.array([np.mean(draw) for draw in itertools.product(differences, repeat=4)])
    p = 2 * min((means <= 0).mean(), (means >= 0).mean())
    assert p == pytest.approx(0.523, abs=0.001)
    found = bootstrap(differences)
    assert found.mean == sign / 2
    assert (found.low, found.high) == tuple(np.quantile(means, [0.025, 0.975]))
    assert found.p == pytest.approx(p, abs=4 * sigma)
    assert "bootstrap" in found.test


@BOOTSTRAPS
def test_the_bootstrap_is_deterministic_and_its_p_value_at_most_1(
    bootstrap: Callable[[np.ndarray], Difference], sigma: float
) -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, 50)
    assert bootstrap(differences) == bootstrap(differences)
    assert bootstrap(np.zeros(5)).p == 1


def test_the_bootstrap_of_many_rows_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing the draws in chunks does not change them."""
    monkeypatch.setattr("dlcli.statistics.paired._DRAWS", 25)
    differences = np.random.default_rng(1).normal(0.1, 1, 60_000)
    random = np.random.default_rng(0)
    means = [random.choice(differences, len(differences)).mean() for _ in range(25)]
    tracemalloc.start()
    try:
        found = by_mean(differences)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "draws"), [(1, 1000), (400, 1000), (20_000, 1000), (50_000, 400), (150_000, 200)]
)
def test_the_number_of_draws_decreases_with_the_number_of_rows(rows: int, draws: int) -> None:
    drawn = []

    def figure(positions: np.ndarray) -> float:
        drawn.append((len(positions), positions[0], positions[-1]))
        return 1.0

    found = paired_bootstrap_of(lambda positions: 0.0, figure, rows)
    assert drawn[0] == (rows, 0, rows - 1)
    assert {length for length, *_ in drawn} == {rows}
    assert len(drawn) == draws + 1
    assert found is not None
    assert found.p == pytest.approx(2 / (draws + 1))


def test_the_bootstrap_draws_from_all_rows() -> None:
    seen: set[int] = set()

    def figure(positions: np.ndarray) -> float:
        seen.update(positions.tolist())
        return 0.0

    paired_bootstrap_of(lambda positions: float(len(positions)), figure, 5)
    assert seen == {0, 1, 2, 3, 4}
    first: list[list[int]] = []
    paired_bootstrap_of(lambda positions: first.append(positions.tolist()) or 0.0, lambda positions: 0.0, 3)
    assert first[0] == [0, 1, 2]


def test_draws_with_an_undefined_metric_are_left_out() -> None:
    counted = 0

    def figure(positions: np.ndarray) -> float:
        nonlocal counted
        counted += 0 in positions
        return 1.0 if 0 in positions else np.nan

    found = paired_bootstrap_of(lambda positions: 0.0, figure, 2)
    assert found is not None
    assert 700 < counted < 800
    assert (found.low, found.high) == (1, 1)
    # All defined draws are on one side. The first call, with all rows, is not a draw.
    assert found.p == pytest.approx(2 / counted)


def test_a_metric_that_is_undefined_in_all_draws_has_no_interval() -> None:
    def figure(positions: np.ndarray) -> float:
        return 1.0 if positions.tolist() == list(range(10)) else np.nan

    assert paired_bootstrap_of(lambda positions: 0.0, figure, 10) is None


@pytest.mark.parametrize("kind", [bool, np.uint8, list])
@pytest.mark.parametrize(
    "test",
    [lambda a, b: corrected_paired_t(a, b, 9, 1), signed_rank_p, mcnemar, paired_bootstrap],
    ids=["t", "wilcoxon", "mcnemar", "bootstrap"],
)
def test_results_do_not_depend_on_the_type_of_the_values(test: Callable[..., Any], kind: Any) -> None:
    """NumPy cannot subtract booleans, and differences of unsigned integers wrap around."""
    a, b = (np.random.default_rng(seed).integers(0, 2, 40).astype(float) for seed in (0, 1))
    convert = np.ndarray.tolist if kind is list else lambda array: array.astype(kind)
    assert test(convert(a), b) == test(a, convert(b)) == test(convert(a), convert(b)) == test(a, b)


def test_mcnemar_of_equally_many_different_rows_is_1() -> None:
    a, b = np.eye(2, dtype=bool)
    assert mcnemar(a, b) == 1


def test_ranks_of_unsigned_integers() -> None:
    table = np.array([[0, 1, 2], [0, 2, 3], [5, 6, 9]])
    assert friedman(table.astype(np.uint8)) == friedman(table)
    assert friedman(table).ranks == (3, 2, 1)


def test_columns_are_scaled_independently() -> None:
    """The rounding error of a large column may be the standard deviation of a small one."""
    random = np.random.default_rng(0)
    small = random.normal(0, 1e-6, 100)
    for large in (1e12, -1e12):
        found = deviations(np.stack([small, large + random.normal(0, 1e10, 100), np.zeros(100)], axis=1))
        assert found[0] == pytest.approx(small.std())
        assert found[1] == pytest.approx(1e10, rel=0.2)
        assert found[2] == 1


def test_the_interval_of_a_share_is_that_of_scipy() -> None:
    for hits, rows in ((8, 10), (0, 5), (5, 5), (1, 1000)):
        expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
        assert wilson_interval(hits, rows) == pytest.approx((expected.low, expected.high))


def test_intervals_of_means_are_those_of_the_normal_distribution() -> None:
    values, others = np.array([0.0, 1.0, 3.0, 5.0]), np.array([4.0, 1.0, 1.0, 0.0])
    low, high = stats.norm.interval(0.95, loc=2.25, scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((low, high))
    assert mean_interval(values - 2.25 + 1)[0] == 0.0  # errors are not negative
    expected = stats.norm.interval(0.95, loc=0.75, scale=stats.sem(values - others))
    assert difference_interval(values, others) == pytest.approx(expected)


def test_edit_distances_of_a_table() -> None:
    first, second = ["kitten", "", "abc", "flaw", "same"], ["sitting", "ab", "", "lawn", "same"]
    assert edit_distances(first, second).tolist() == [3, 2, 3, 2, 0]
    assert edit_distances([], []).tolist() == []

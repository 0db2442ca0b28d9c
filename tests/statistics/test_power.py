"""The number of folds and rows needed to detect a difference, compared with simulated tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dlcli.statistics.paired import corrected_paired_t
from dlcli.statistics.power import POWER, folds_needed, power_of_folds, rows_needed

RATIO = 1 / 9  # ten folds
DRAWS = 4000
ROUNDING = 4 * math.sqrt(POWER * (1 - POWER) / DRAWS)  # four standard errors


def found(mean: float, folds: int, draws: int = DRAWS) -> float:
    """Return the share of simulated comparisons that `corrected_paired_t` finds significant.

    Differences of folds have the deviation 1 within a set, and the correlation of overlapping training rows.
    """
    random = np.random.default_rng(folds)
    shared = math.sqrt(RATIO) * random.normal(size=(draws, 1))
    differences = mean + shared + random.normal(size=(draws, folds))
    variance = (1 / folds + RATIO) * differences.var(axis=1, ddof=1)
    p = 2 * stats.t.sf(np.abs(differences.mean(axis=1)) / np.sqrt(variance), folds - 1)
    assert p[0] == pytest.approx(corrected_paired_t(np.zeros(folds), differences[0], 90, 10).p)
    return float(np.mean(p < 0.05))


@pytest.mark.parametrize(("mean", "folds"), [(0.0, 10), (0.6, 5), (1.0, 10), (1.5, 20)])
def test_the_power_is_that_of_simulated_tests(mean: float, folds: int) -> None:
    assert found(mean, folds) == pytest.approx(power_of_folds(mean, 1.0, folds, RATIO), abs=ROUNDING)


def test_the_number_of_folds_is_the_smallest_with_the_power() -> None:
    observed = np.array([0.2, 2.2, 1.2, 0.2, 2.2])
    needed = folds_needed(observed, RATIO)
    assert needed is not None
    mean, deviation = observed.mean(), observed.std(ddof=1)
    assert power_of_folds(mean, deviation, needed - 1, RATIO) < POWER
    assert power_of_folds(mean, deviation, needed, RATIO) >= POWER
    assert found(mean / deviation, needed) >= POWER - ROUNDING
    assert folds_needed(100 * observed, RATIO) == folds_needed(-observed, RATIO) == needed
    assert folds_needed(observed, RATIO, alpha=0.01) > needed  # type: ignore[operator]


def test_overlapping_training_rows_are_a_limit() -> None:
    """The mean of many folds keeps the variance `n_test / n_train`."""
    assert folds_needed([0.2, -0.6, 1.0, -0.2], RATIO) is None
    assert folds_needed([1.0, 1.0], RATIO) is None
    assert folds_needed([1.0, -1.0], RATIO) is None


def test_rows_that_find_a_mean_difference() -> None:
    rows, mean = 100, 0.15
    reach = stats.norm.ppf(0.975) / math.sqrt(rows)  # of values with the deviation 1
    needed = rows_needed(mean, mean - reach, mean + reach, rows)
    assert needed is not None
    assert needed == pytest.approx(((1.96 + 0.8416) / mean) ** 2, rel=0.01)
    means = mean + np.random.default_rng(0).normal(size=DRAWS) / math.sqrt(needed)
    assert np.mean(np.abs(means) * math.sqrt(needed) > 1.96) == pytest.approx(POWER, abs=ROUNDING)
    assert rows_needed(0.0, -1, 1, 10) is None
    assert rows_needed(9.0, 8.9, 9.1, 10) == 10

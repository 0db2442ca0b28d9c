"""Constant features are not scaled by their rounding error, in all preprocessing."""

from __future__ import annotations

import numpy as np
import pytest

from dlcli.datasets.data import Data
from dlcli.datasets.ragged_rows import RaggedRows
from dlcli.datasets.windows import History
from dlcli.preprocessing.image import Image
from dlcli.preprocessing.sequences import Sequences
from dlcli.statistics.deviation import deviations
from dlcli.tasks.facts import target_facts

STEPS = 100_000


def two_columns(level: float) -> np.ndarray:
    """Return a constant sensor and one that varies."""
    return np.stack([np.full(STEPS, level), np.random.default_rng(0).normal(size=STEPS)], axis=1)


@pytest.mark.parametrize("level", [21.3, 0.1, 7.7, -21.4, 1e6 / 3])
def test_rounding_errors_are_not_a_deviation(level: float) -> None:
    found = deviations(two_columns(level))
    assert found[0] == 1
    assert found[1] == pytest.approx(1, abs=0.01)
    jitter = np.where(np.arange(STEPS) % 2, level, np.nextafter(level, 1e9))
    assert deviations(jitter[:, None]).tolist() == [1]


def test_features_with_small_changes_are_scaled() -> None:
    seconds = 1.7e9 + np.arange(1000.0)[:, None] / 1000
    assert deviations(seconds) == pytest.approx(np.arange(1000).std() / 1000, rel=1e-4)
    seldom = np.zeros((STEPS, 1))
    seldom[0] = 1e-9
    assert deviations(seldom)[0] < 1e-11


def test_a_later_value_stays_near() -> None:
    values = two_columns(21.3)
    history = History(values, np.arange(10, STEPS - 5), 5, ("a", "b"), 10, targets=2)
    assert history.scale()[1][0] == 1
    rows = RaggedRows(values, ("a", "b"), np.array([0]), np.array([STEPS]), STEPS, "id", None)
    later = Sequences().fit(rows).transform(np.full((1, STEPS, 2), 21.4))["x"]
    assert later[..., 0].max() == pytest.approx(0.1, rel=1e-4)
    data = Data("some", "table", values, values, targets=("a", "b"))
    assert target_facts(data, np.arange(STEPS))["target_std"][0] == 1
    grey = Image().fit(np.full((7, 5, 5), 3, np.uint8))
    assert grey.std_.tolist() == [1]

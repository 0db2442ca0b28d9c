from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from dlcli.tasks.threshold import Tunable, best_threshold

METRICS = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score, "f1": f1_score}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_optimal(metric: Tunable, seed: int) -> None:
    random = np.random.default_rng(seed)
    y = (random.random(60) < 0.2).astype(int)
    # Round, so that several rows have the same probability.
    p = np.round(np.clip(0.15 + 0.2 * y + 0.15 * random.normal(size=60), 0, 1), 2).astype(np.float32)
    found = best_threshold(p, y, metric)
    assert found is not None
    tried = [METRICS[metric](y, p > threshold) for threshold in np.linspace(-0.005, 1.005, 203)]
    assert METRICS[metric](y, p > np.float32(found)) == pytest.approx(max(tried))


def test_the_default_is_kept_if_none_is_better() -> None:
    p, y = np.array([0.1, 0.3, 0.7, 0.8]), np.array([0, 0, 1, 1])
    assert best_threshold(p, y, "f1") == 0.5
    assert best_threshold(p, y, "f1", default=0.35) == 0.35
    assert best_threshold(p, y, "f1", default=0.3) == 0.3
    assert best_threshold(p, y, "f1", default=0.7) == 0.5


def test_the_nearest_of_equally_good_thresholds_is_taken() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.4, 0.4]), np.array([0, 0, 1, 1]), "f1") == pytest.approx(0.3)


@pytest.mark.parametrize("hits", [[0, 0], [1, 1]])
def test_rows_of_one_class_give_no_threshold(hits: list[int]) -> None:
    assert best_threshold(np.array([0.2, 0.8]), np.array(hits), "f1") is None

"""Calibration of probabilities on validation rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from dlcli.tasks.binary import Binary
from dlcli.tasks.calibration import (
    Calibrator,
    apply_calibration,
    calibrated_facts,
    calibration_error,
    calibration_module,
)
from dlcli.tasks.losses import BinaryCrossEntropy


def rows(number: int, classes: int, sureness: float, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Return logits of a network that is too sure by a factor, and class codes."""
    random = np.random.default_rng(seed)
    true = random.normal(size=(number, classes)) * 1.5
    p = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < random.random((number, 1))).sum(axis=1)
    logits = torch.tensor(true * sureness, dtype=torch.float32)
    return (logits[:, 1:] - logits[:, :1] if classes == 2 else logits), y


def log_loss(logits: Tensor, y: np.ndarray) -> float:
    codes = torch.from_numpy(y)
    if logits.shape[1] == 1:
        return float(binary_cross_entropy_with_logits(logits.flatten(), codes.float()))
    return float(cross_entropy(logits, codes))


@pytest.mark.parametrize(
    ("method", "classes"),
    [("temperature", 2), ("temperature", 4), ("vector", 2), ("vector", 4), ("isotonic", 2), ("auto", 4)],
)
def test_a_network_that_is_too_sure_is_calibrated(method: Calibrator, classes: int) -> None:
    facts = calibrated_facts(method, *rows(600, classes, 4.0))
    new, y = rows(3000, classes, 4.0, seed=1)
    right, _ = rows(3000, classes, 1.0, seed=1)
    after = log_loss(apply_calibration(facts, new), y)
    assert after < log_loss(new, y) / 1.5
    assert after < log_loss(right, y) + 0.03  # of the probabilities by which the classes were drawn
    before, held_out, error, own = facts["calibration_scores"]
    assert held_out == pytest.approx(after, abs=0.05)
    assert held_out < before
    assert own < error
    if method in ("temperature", "auto"):
        assert facts["calibrated_by"] == "temperature"
        np.testing.assert_allclose(facts["calibration"], [[0.25], [0.0]], atol=0.03)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_calibrated_network_stays_as_it_is(classes: int) -> None:
    for seed in range(5):
        facts = calibrated_facts("auto", *rows(200, classes, 1.0, seed))
        logits, y = rows(3000, classes, 1.0, seed=9)
        assert log_loss(apply_calibration(facts, logits), y) < log_loss(logits, y) + 0.01
    assert calibrated_facts("none", *rows(200, classes, 4.0)) == {}


def test_few_rows_and_a_single_class_calibrate_nothing() -> None:
    logits, y = rows(19, 2, 4.0)
    assert calibrated_facts("auto", logits, y)["calibrated_by"] == "none"
    logits, y = rows(100, 2, 4.0)
    assert calibrated_facts("auto", logits, np.zeros_like(y))["calibrated_by"] == "none"


def test_isotonic_probabilities_are_those_of_scikit_learn() -> None:
    from sklearn.isotonic import IsotonicRegression

    logits, y = rows(300, 2, 2.0)
    facts = calibrated_facts("isotonic", logits, y)
    module = calibration_module("isotonic", facts["calibration"])
    assert module is not None
    most = 1 - 1 / 302
    wanted = IsotonicRegression(y_min=1 - most, y_max=most, out_of_bounds="clip")
    wanted.fit(logits.double().sigmoid().flatten().numpy(), y)
    new, _ = rows(500, 2, 2.0, seed=1)
    expected = wanted.predict(new.double().sigmoid().flatten().numpy())
    np.testing.assert_allclose(module(new).sigmoid().flatten(), expected, atol=1e-4)


def test_separated_rows_keep_finite_logits() -> None:
    logits = torch.linspace(-3, 3, 40).reshape(-1, 1)
    facts = calibrated_facts("auto", logits, (logits.flatten() > 0).long().numpy())
    assert torch.isfinite(apply_calibration(facts, logits)).all()


def test_the_calibration_error_of_the_predicted_class() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    codes = np.array([0] * 5 + [1] * 5 + [1] * 6 + [0] * 4)
    assert calibration_error(probabilities, codes) == pytest.approx((0.4 * 10 + 0.0 * 10) / 20)


def test_a_threshold_is_tuned_on_calibrated_probabilities() -> None:
    logits, y = rows(400, 2, 4.0)
    logits = logits + 8
    loss = BinaryCrossEntropy(("a", "b"), (200, 200))
    task = Binary(("a", "b"), (200, 200), loss, tune_threshold="accuracy", calibrate="vector")
    facts = task.tune(logits, y)
    tuned = Binary(("a", "b"), (200, 200), loss, calibrate="vector", **facts)
    module = tuned.calibration()
    assert module is not None
    right = (tuned.predictions(module(logits))["prediction"] == np.where(y == 1, "b", "a")).mean()
    assert right > 0.75
    assert 0.2 < tuned.threshold < 0.8
    assert tuned.tuned().startswith("probabilities calibrated by vector scaling (")
    assert "tuned_threshold" in tuned.tuned()

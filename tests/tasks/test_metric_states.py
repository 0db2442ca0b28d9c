"""Metrics do not depend on the division of rows into batches or among processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor

from dlcli.tasks.answer_metrics import AnswerScore
from dlcli.tasks.class_metrics import (
    BinaryRate,
    CalibrationError,
    ExactMatch,
    LogLoss,
    MulticlassRate,
    MultilabelRate,
    auroc,
    average_precision,
)
from dlcli.tasks.language_metrics import Surprise
from dlcli.tasks.mask_metrics import MaskOverlap
from dlcli.tasks.metric import Metric
from dlcli.tasks.number_metrics import MAPE, MASE, R2, SMAPE
from dlcli.tasks.task_metric import TaskMetric

ROWS, TARGETS = 90, 3
RANDOM = np.random.default_rng(0)
PROBABILITIES = RANDOM.dirichlet(np.ones(TARGETS), ROWS)
CLASSES = RANDOM.integers(0, TARGETS, ROWS)
LABELS = RANDOM.integers(0, 2, (ROWS, TARGETS))
LEVEL = np.array([1e6, -20.0, 3.0])
OFF = np.array([0.3, 2.0, 5.0])
Y = LEVEL + [0.1, 1.0, 2.0] * RANDOM.normal(size=(ROWS, TARGETS))
GUESSES = Y + [0.05, 0.5, 1.0] * RANDOM.normal(size=Y.shape)
NAIVE_ERROR = np.array([0.2, 1.5, 1.0])
ONE_HOT = np.eye(TARGETS)[CLASSES]


def balanced_accuracy(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean([sklearn.balanced_accuracy_score(y[:, k], p[:, k] > 0.5) for k in range(TARGETS)]))


RATES: dict[Any, Callable[..., float]] = {
    "precision": sklearn.precision_score,
    "recall": sklearn.recall_score,
    "f1": sklearn.f1_score,
}
MEASURES: dict[str, tuple[Callable[[], Metric], np.ndarray, np.ndarray, float]] = {
    "auroc": (auroc, PROBABILITIES, CLASSES, sklearn.roc_auc_score(ONE_HOT, PROBABILITIES)),
    "average precision": (
        average_precision,
        PROBABILITIES,
        LABELS,
        sklearn.average_precision_score(LABELS, PROBABILITIES),
    ),
    "log loss": (LogLoss, PROBABILITIES, CLASSES, sklearn.log_loss(CLASSES, PROBABILITIES)),
    "log loss of labels": (
        LogLoss,
        PROBABILITIES,
        LABELS,
        np.mean([sklearn.log_loss(LABELS[:, k], PROBABILITIES[:, k]) for k in range(TARGETS)]),
    ),
    "balanced accuracy": (
        partial(BinaryRate, "balanced_accuracy"),
        PROBABILITIES[:, 0],
        LABELS[:, 0],
        sklearn.balanced_accuracy_score(LABELS[:, 0], PROBABILITIES[:, 0] > 0.5),
    ),
    "balanced accuracy of labels": (
        partial(MultilabelRate, "balanced_accuracy", "macro", labels=TARGETS),
        PROBABILITIES,
        LABELS,
        balanced_accuracy(LABELS, PROBABILITIES),
    ),
    **{
        f"{rate} of two classes": (
            partial(BinaryRate, rate, 0.4),
            PROBABILITIES[:, 0],
            LABELS[:, 0],
            score(LABELS[:, 0], PROBABILITIES[:, 0] > 0.4),
        )
        for rate, score in RATES.items()
    },
    **{
        f"{average} {rate} of classes": (
            partial(MulticlassRate, rate, TARGETS, average),
            PROBABILITIES,
            CLASSES,
            score(CLASSES, PROBABILITIES.argmax(axis=1), average=average),
        )
        for rate, score in RATES.items()
        for average in ("macro", "micro", "weighted")
    },
    **{
        f"{average} {rate} of labels": (
            partial(MultilabelRate, rate, average, labels=TARGETS, threshold=0.4),
            PROBABILITIES,
            LABELS,
            score(LABELS, PROBABILITIES > 0.4, average=average),
        )
        for rate, score in RATES.items()
        for average in ("macro", "micro", "weighted")
    },
    "r2": (partial(R2, torch.from_numpy(LEVEL)), GUESSES, Y, sklearn.r2_score(Y, GUESSES)),
    "r2 around another value": (
        partial(R2, torch.from_numpy(LEVEL + OFF)),
        GUESSES,
        Y,
        sklearn.r2_score(Y, GUESSES),
    ),
    "mape": (
        partial(MAPE, torch.from_numpy(LEVEL)),
        GUESSES - LEVEL,
        Y - LEVEL,
        sklearn.mean_absolute_percentage_error(Y, GUESSES),
    ),
    "mase": (
        partial(MASE, torch.from_numpy(NAIVE_ERROR)),
        GUESSES,
        Y,
        (np.abs(GUESSES - Y).mean(axis=0) / NAIVE_ERROR).mean(),
    ),
}


def tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("name", MEASURES)
def test_batches_do_not_change_a_metric(name: str) -> None:
    make, predicted, y, expected = MEASURES[name]
    for size in (ROWS, 40, 7):
        metric = make()
        for start in range(0, ROWS, size):
            metric.update(*tensors(predicted[start : start + size], y[start : start + size]))
        assert float(metric.compute()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", MEASURES)
def test_merged_states_give_the_metric_of_all_rows(name: str) -> None:
    make, predicted, y, expected = MEASURES[name]
    first, second = make(), make()
    first.update(*tensors(predicted[:50], y[:50]))
    second.update(*tensors(predicted[50:], y[50:]))
    first.merge_state(second)
    assert float(first.compute()) == pytest.approx(expected, rel=1e-5)


def test_a_label_without_negative_rows_has_no_ranking() -> None:
    labels = LABELS.copy()
    labels[:, 1] = 1
    for make, theirs in (
        (auroc, sklearn.roc_auc_score),
        (average_precision, sklearn.average_precision_score),
    ):
        metric = make()
        metric.update(*tensors(PROBABILITIES, labels))
        expected = np.mean([theirs(labels[:, k], PROBABILITIES[:, k]) for k in (0, 2)])
        assert float(metric.compute()) == pytest.approx(expected)


def test_labels_without_positive_rows_are_left_out_of_the_balanced_accuracy() -> None:
    probabilities = np.array([[0.9, 0.9], [0.1, 0.9], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]])
    labels = np.array([[0, 1], [0, 1], [0, 1], [0, 1], [0, 0]])
    metric = MultilabelRate("balanced_accuracy", "macro", labels=2)
    metric.update(*tensors(probabilities, labels))
    assert float(metric.compute()) == pytest.approx((2 / 4 + 1) / 2)


def test_targets_without_a_naive_error_are_left_out() -> None:
    metric = MASE(torch.tensor([0.0, 0.5, math.nan]))
    metric.update(torch.tensor([[1.0, 1.0, 1.0]]), torch.zeros(1, 3))
    assert float(metric.compute()) == 2
    metric = MASE(torch.tensor([0.0, math.nan]))
    metric.update(torch.ones(1, 2), torch.zeros(1, 2))
    assert math.isnan(metric.compute())


def test_constant_targets_are_left_out_of_r2() -> None:
    y = np.stack([np.full(ROWS, 3.0), Y[:, 1]], axis=1)
    guess = y + RANDOM.normal(size=y.shape)
    metric = R2(torch.zeros(2, dtype=torch.float64))
    metric.update(*tensors(guess, y))
    assert float(metric.compute()) == pytest.approx(sklearn.r2_score(y[:, 1], guess[:, 1]))


def test_a_probability_of_0_has_a_finite_cost() -> None:
    for dtype in (torch.float32, torch.float64):
        metric = LogLoss()
        metric.update(torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=dtype), torch.tensor([0, 1]))
        assert float(metric.compute()) == pytest.approx(-math.log(torch.finfo(dtype).eps) / 2, rel=1e-5)


def test_a_target_of_0_has_a_finite_percentage_error() -> None:
    metric = MAPE(torch.zeros(1))
    metric.update(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    assert float(metric.compute()) == pytest.approx(1 / torch.finfo(torch.float32).eps)


def test_the_bounds_of_metrics() -> None:
    bounds: list[tuple[Metric, float, float | None]] = [
        (SMAPE(torch.zeros(1)), 0, 200),
        (auroc(), 0, 1),
        (LogLoss(), 0, None),
        (CalibrationError(), 0, 1),
        (BinaryRate("f1", 0.5), 0, 1),
        (ExactMatch(), 0, 1),
        (Surprise("perplexity"), 1, None),
        (Surprise("bits_per_character"), 0, None),
        (MaskOverlap("miou", 2), 0, 1),
        (AnswerScore("f1"), 0, 1),
    ]
    for metric, low, high in bounds:
        assert (metric.plot_lower_bound, metric.plot_upper_bound) == (low, high)


@pytest.mark.parametrize(("kind", "mean"), [("exact_match", 0.5), ("f1", 0.75)])
def test_answers_are_scored_by_exact_match_or_f1(kind: Any, mean: float) -> None:
    metric = AnswerScore(kind)
    metric.update(torch.tensor([[1.0, 1.0], [0.0, 0.5]]), torch.zeros(2))
    assert float(metric.compute()) == mean


@pytest.mark.parametrize("takes", ["values", "standardized"])
def test_numbers_without_an_offset_or_a_deviation_are_only_converted_to_double_precision(takes: Any) -> None:
    rows = torch.tensor([[1.0], [3.0]])
    predicted, y, _ = TaskMetric(R2(torch.zeros(1)), takes=takes).prepared(rows, rows, {})
    assert (predicted.dtype, predicted.tolist(), y.tolist()) == (torch.float64, [1, 3], [1, 3])

"""Metrics compared with scikit-learn, and NaN where they are undefined."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sklearn
from torch import nn

from dlcli.datasets.data import Data
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.facts import target_facts
from dlcli.tasks.losses import Quantile
from dlcli.tasks.metric import keywords
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.training.scores import Scores, counting_device

ROWS = 300
RANDOM = np.random.default_rng(0)


def figures(task: Task, outputs: np.ndarray, y: np.ndarray, batch: int = 64) -> dict[str, float]:
    scores = Scores(task)
    encoded = torch.from_numpy(task.encode(y))
    for first in range(0, len(y), batch):
        rows = slice(first, first + batch)
        scores.update(torch.from_numpy(outputs[rows]).float(), encoded[rows])
    return scores.compute()


def multiclass(loss: nn.Module | None = None) -> Multiclass:
    return Multiclass(("a", "b", "c", "d"), (10, 20, 30, 40), loss or nn.CrossEntropyLoss())


def binary(**options: object) -> Binary:
    return Binary(("no", "yes"), (70, 30), nn.BCEWithLogitsLoss(), **options)  # type: ignore[arg-type]


def test_metrics_of_several_classes_are_those_of_scikit_learn() -> None:
    y = RANDOM.integers(0, 4, ROWS)
    logits = RANDOM.normal(size=(ROWS, 4)) + 1.5 * np.eye(4)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = figures(multiclass(), logits, y)
    guess = p.argmax(axis=1)
    one_hot = np.eye(4)[y]
    assert found == pytest.approx(
        {
            "loss": sklearn.log_loss(y, p),
            "accuracy": sklearn.accuracy_score(y, guess),
            "balanced_accuracy": sklearn.balanced_accuracy_score(y, guess),
            "precision": sklearn.precision_score(y, guess, average="macro"),
            "recall": sklearn.recall_score(y, guess, average="macro"),
            "f1": sklearn.f1_score(y, guess, average="macro"),
            "auroc": sklearn.roc_auc_score(y, p, multi_class="ovr"),
            "average_precision": sklearn.average_precision_score(one_hot, p),
            "log_loss": sklearn.log_loss(y, p),
            "calibration_error": calibration_error(p.max(axis=1), guess == y),
        },
        rel=1e-4,
    )
    assert tuple(found) == ("loss", *multiclass().metric_names)


@pytest.mark.parametrize("spread", [3.0, 0.1])
def test_metrics_of_two_classes_are_those_of_scikit_learn(spread: float) -> None:
    # With a small spread all logits lie between 0 and 1, so torchmetrics could mistake them for probabilities.
    y = RANDOM.integers(0, 2, ROWS)
    logits = spread * RANDOM.random((ROWS, 1)) + 0.2 * y[:, None] - (0 if spread < 1 else 1.5)
    p = 1 / (1 + np.exp(-logits[:, 0]))
    guess = p > 0.5
    assert figures(binary(), logits, y) == pytest.approx(
        {
            "loss": sklearn.log_loss(y, p),
            "accuracy": sklearn.accuracy_score(y, guess),
            "balanced_accuracy": sklearn.balanced_accuracy_score(y, guess),
            "precision": sklearn.precision_score(y, guess),
            "recall": sklearn.recall_score(y, guess),
            "f1": sklearn.f1_score(y, guess),
            "auroc": sklearn.roc_auc_score(y, p),
            "average_precision": sklearn.average_precision_score(y, p),
            "log_loss": sklearn.log_loss(y, p),
            "calibration_error": calibration_error(p, y == 1),
        },
        rel=1e-4,
    )


def test_a_tuned_threshold_also_reports_untuned_metrics() -> None:
    y = RANDOM.integers(0, 2, ROWS)
    logits = RANDOM.normal(size=(ROWS, 1)) + y[:, None] - 2
    before, after = figures(binary(), logits, y), figures(binary(tuned_threshold=0.2), logits, y)
    guess = 1 / (1 + np.exp(-logits[:, 0])) > 0.2
    assert after["f1"] == pytest.approx(sklearn.f1_score(y, guess))
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1"):
        assert after[f"{name}_untuned"] == before[name] != after[name]
    assert after["auroc"] == before["auroc"]


def multilabel(**options: object) -> Multilabel:
    return Multilabel(("a", "b", "c"), [(1, 1)] * 3, nn.BCEWithLogitsLoss(), **options)  # type: ignore[arg-type]


def test_metrics_of_labels_are_those_of_scikit_learn() -> None:
    y = RANDOM.integers(0, 2, (ROWS, 3))
    logits = 2 * RANDOM.normal(size=(ROWS, 3)) + y
    p = 1 / (1 + np.exp(-logits))
    guess = (p > 0.5).astype(int)
    task = multilabel()
    each = [sklearn.log_loss(y[:, k], p[:, k]) for k in range(3)]
    assert figures(task, logits, y) == pytest.approx(
        {
            "loss": np.mean(each),
            "accuracy": (guess == y).mean(),
            "balanced_accuracy": np.mean(
                [sklearn.balanced_accuracy_score(y[:, k], guess[:, k]) for k in range(3)]
            ),
            "exact_match": sklearn.accuracy_score(y, guess),
            "precision": sklearn.precision_score(y, guess, average="macro"),
            "recall": sklearn.recall_score(y, guess, average="macro"),
            "f1": sklearn.f1_score(y, guess, average="macro"),
            "auroc": sklearn.roc_auc_score(y, p),
            "average_precision": sklearn.average_precision_score(y, p),
            "log_loss": np.mean(each),
            "calibration_error": calibration_error(p.ravel(), y.ravel() == 1),
        },
        rel=1e-4,
    )


def test_each_label_has_its_own_tuned_threshold() -> None:
    y = RANDOM.integers(0, 2, (ROWS, 3))
    logits = RANDOM.normal(size=(ROWS, 3)) + y + [-2, 0, 2]
    thresholds = [0.2, 0.5, 0.8]
    before = figures(multilabel(), logits, y)
    after = figures(multilabel(tuned_thresholds=thresholds), logits, y)
    guess = (1 / (1 + np.exp(-logits)) > thresholds).astype(int)
    assert after["f1"] == pytest.approx(sklearn.f1_score(y, guess, average="macro"))
    assert after["exact_match"] == pytest.approx(sklearn.accuracy_score(y, guess))
    for name in ("accuracy", "balanced_accuracy", "exact_match", "precision", "recall", "f1"):
        assert after[f"{name}_untuned"] == before[name] != after[name]
    assert after["log_loss"] == before["log_loss"]


def regression(y: np.ndarray, loss: nn.Module, **options: bool) -> Regression:
    data = Data("some", "sequence", np.zeros((len(y), 1)), y, targets=[f"t{k}" for k in range(y.shape[1])])
    return Regression(**target_facts(data, np.arange(len(y))), loss=loss, **options)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize(
    ("offset", "unit", "scaled"),
    [(0, 1, True), (0, 1, False), (1.7e9, 1e5, True), (3, 1e-6, True)],
    ids=["plain", "plain, not scaled", "seconds since 1970", "tiny"],
)
def test_regression_is_in_the_users_unit(targets: int, offset: float, unit: float, scaled: bool) -> None:
    y = offset + unit * RANDOM.normal(size=(ROWS, targets))
    guess = y + 0.3 * unit * RANDOM.normal(size=y.shape)
    task = regression(y, nn.MSELoss(), scale_targets=scaled)
    y = y[:, 0] if targets == 1 else y
    # The model outputs that correspond to these predictions.
    found = figures(task, task.encode(guess), y)
    del found["loss"]
    assert found == pytest.approx(
        {
            "mae": sklearn.mean_absolute_error(y, guess),
            "rmse": sklearn.root_mean_squared_error(y, guess),
            "mse": sklearn.mean_squared_error(y, guess),
            "r2": sklearn.r2_score(y, guess),
            "mape": sklearn.mean_absolute_percentage_error(y, guess),
        },
        rel=1e-3,
    )
    predicted = task.predictions(torch.from_numpy(task.encode(guess))).to_numpy()
    assert np.abs(predicted - guess.reshape(predicted.shape)).max() < 1e-5 * unit * max(
        1, offset if not scaled else 1
    )


@pytest.mark.parametrize("scaled", [True, False])
def test_several_quantiles(scaled: bool) -> None:
    levels = (0.1, 0.5, 0.9)
    y = np.array([100.0, 5.0]) + np.array([1e3, 2.0]) * RANDOM.normal(size=(ROWS, 2))
    guess = y[..., None] + y.std(axis=0)[:, None] * (0.5 * RANDOM.normal(size=(ROWS, 2, 1)) + [-0.4, 0, 0.6])
    task = regression(y, Quantile(levels), scale_targets=scaled)
    # A model may predict crossing quantiles, which are sorted for the metrics.
    outputs = np.stack([task.encode(guess[..., index]) for index in (2, 0, 1)], axis=-1).reshape(ROWS, -1)
    found = figures(task, outputs, y)
    pinball = [sklearn.mean_pinball_loss(y, guess[..., i], alpha=level) for i, level in enumerate(levels)]
    inside = (guess[..., 0] <= y) & (y <= guess[..., 2])
    assert found["pinball"] == pytest.approx(np.mean(pinball), rel=1e-4)
    assert found["coverage"] == pytest.approx(inside.mean())
    assert found["interval_width"] == pytest.approx(y.std(axis=0).mean(), rel=1e-4)
    assert found["mae"] == pytest.approx(sklearn.mean_absolute_error(y, guess[..., 1]), rel=1e-4)
    table = task.predictions(torch.from_numpy(outputs))
    assert list(table) == [
        f"{what}({t})" for what in ("prediction", "q0.1", "q0.5", "q0.9") for t in ("t0", "t1")
    ]
    assert table["q0.9(t0)"].to_numpy() == pytest.approx(guess[:, 0, 2], rel=1e-4, abs=1e-2)
    assert (table["prediction(t1)"] == table["q0.5(t1)"]).all()
    breakdown = task.breakdown(torch.from_numpy(outputs), y)
    assert breakdown is not None
    assert breakdown["pinball"].mean() == pytest.approx(found["pinball"], rel=1e-4)
    assert breakdown["coverage"].tolist() == pytest.approx(inside.mean(axis=0))
    assert breakdown["below q0.9"].tolist() == pytest.approx((y <= guess[..., 2]).mean(axis=0))


def test_the_baseline_of_quantiles_is_those_of_the_training_rows() -> None:
    y = RANDOM.exponential(size=(ROWS, 1))
    judge, guess = regression(y, Quantile((0.05, 0.5, 0.95))).baseline()
    table = judge.predictions(guess.expand(1, -1))
    assert table["q0.95"].item() == pytest.approx(np.quantile(y, 0.95), rel=1e-5)
    assert table["prediction"].item() == pytest.approx(np.median(y), rel=1e-5)
    _, one = regression(y, Quantile((0.95,))).baseline()
    assert one.item() == guess[2].item()


@pytest.mark.parametrize("present", [0, 1])
def test_metrics_of_rows_of_one_class_are_undefined(present: int) -> None:
    y = np.full(9, present)
    found = figures(binary(), np.where(y > 0, 3.0, -3.0)[:, None], y)  # every row is classified correctly
    undefined = {name for name, value in found.items() if math.isnan(value)}
    expected = {"auroc", "average_precision", "balanced_accuracy"}
    assert undefined == (expected if present else expected | {"precision", "recall", "f1"})
    assert found["accuracy"] == 1


@pytest.mark.parametrize("seed", range(20))
def test_rates_are_those_of_scikit_learn_whatever_classes_are_missing(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, classes = int(random.integers(1, 12)), 4
    y, guess = (random.choice(random.choice(classes, 2), rows) for _ in range(2))
    found = figures(multiclass(), 9.0 * np.eye(classes)[guess], y)
    occurs = np.isin(np.arange(classes), y)
    options = {"labels": np.arange(classes), "average": None, "zero_division": np.nan}
    each = {
        "precision": np.where(
            occurs,
            np.nan_to_num(sklearn.precision_score(y, guess, **options)),
            sklearn.precision_score(y, guess, **options),
        ),
        "recall": sklearn.recall_score(y, guess, **options),
        "f1": sklearn.f1_score(y, guess, **options),
    }
    for name, values in each.items():
        assert found[name] == pytest.approx(np.nanmean(values)), name
    assert found["balanced_accuracy"] == found["recall"]
    task = multiclass()
    for average in ("micro", "weighted"):
        other = Multiclass(task.classes, (10, 20, 30, 40), nn.CrossEntropyLoss(), average=average)
        of_average = figures(other, 9.0 * np.eye(classes)[guess], y)
        shares = np.array([(y == k).mean() for k in range(classes)])
        for name, values in each.items():
            weighted = (np.nan_to_num(values) * shares).sum()
            assert of_average[name] == pytest.approx(
                (y == guess).mean() if average == "micro" else weighted
            ), name


@pytest.mark.parametrize("seed", range(10))
def test_labels_that_no_row_has_are_left_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    y, guess = random.integers(0, 2, (2, 6, 3)) * [1, 1, 0]
    guess[:, 2] *= seed % 2
    found = figures(multilabel(), np.where(guess > 0, 5.0, -5.0), y)
    labels = [k for k in range(3) if y[:, k].any() or guess[:, k].any()]
    f1 = [sklearn.f1_score(y[:, k], guess[:, k]) for k in labels]
    assert found["f1"] == pytest.approx(np.mean(f1), nan_ok=True)
    both = [k for k in range(3) if 0 < y[:, k].sum() < len(y)]
    balanced = [sklearn.balanced_accuracy_score(y[:, k], guess[:, k]) for k in both]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(balanced))


def test_absent_classes_are_left_out_of_ranking_metrics() -> None:
    y = RANDOM.integers(0, 2, 50)
    logits = RANDOM.normal(size=(50, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.mean([sklearn.roc_auc_score(y == k, p[:, k]) for k in (0, 1)])
    assert figures(multiclass(), logits, y)["auroc"] == pytest.approx(expected, rel=1e-5)


def test_one_row_has_no_r2() -> None:
    task = regression(np.zeros((1, 1)), nn.MSELoss())
    found = figures(task, np.ones((1, 1)), np.zeros(1))
    assert math.isnan(found["r2"])
    assert found["mae"] == 1


@pytest.mark.parametrize(("spread", "known"), [(0.0, False), (1e-3, True)], ids=["one value", "narrow"])
def test_r2_of_targets_that_hardly_vary_is_exact(spread: float, known: bool) -> None:
    y = 7.3 + spread * RANDOM.normal(size=2000)  # far from the mean of the training rows
    guess = y + 0.5e-3 * RANDOM.normal(size=2000)
    task = Regression(["t"], [0.0], [1.0], nn.MSELoss())
    found = figures(task, guess[:, None], y)["r2"]
    assert found == pytest.approx(sklearn.r2_score(y, guess), rel=1e-2) if known else math.isnan(found)


def test_the_metrics_of_an_epoch_can_be_fewer() -> None:
    scores = Scores(multiclass(), ["f1"])
    scores.update(torch.randn(5, 4), torch.arange(5) % 4)
    assert list(scores.compute()) == ["loss", "f1"]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Guo et al., 2017, equation 3, with 15 bins."""
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression", "quantiles"])
def test_metrics_of_a_table_of_predictions_equal_those_of_the_outputs(kind: str) -> None:
    outputs, y = RANDOM.normal(size=(ROWS, 4)), RANDOM.integers(0, 4, ROWS)
    task: Task = multiclass()
    if kind == "binary":
        task, outputs, y = binary(tuned_threshold=0.3), outputs[:, :1], y % 2
    elif kind == "multilabel":
        task, outputs, y = multilabel(), outputs[:, :3], RANDOM.integers(0, 2, (ROWS, 3))
    elif kind in ("regression", "quantiles"):
        y = 1e5 + RANDOM.normal(size=(ROWS, 2))
        loss = Quantile(quantiles=[0.1, 0.9, 0.5]) if kind == "quantiles" else nn.MSELoss()
        task = regression(y, loss)
        outputs = RANDOM.normal(size=(ROWS, task.num_outputs))
    raw = torch.from_numpy(outputs).float()
    table = pd.concat([task.targets(y), task.predictions(raw)], axis=1)
    predicted, target, kwargs = task.metric_inputs_of(table)
    figures_of_table = {}
    for name, metric in task.metrics().items():
        metric.update(predicted, target, **keywords(metric, kwargs))
        figures_of_table[name] = float(metric.compute().double().mean())
    expected = figures(task, outputs, y)
    del expected["loss"]
    assert figures_of_table == pytest.approx(expected, rel=1e-4)
    assert task.metric_inputs_of(table.drop(columns=table.columns[-1])) is None


def test_metrics_are_counted_on_the_cpu_without_double_precision() -> None:
    assert counting_device(torch.device("mps")) == torch.device("cpu")
    assert counting_device(torch.device("cuda:1")) == torch.device("cuda:1")

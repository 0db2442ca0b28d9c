"""Detection: average precision is that of pycocotools, and tables restore it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlcli.datasets.boxes.boxes import Boxes
from dlcli.models.detections import with_loss
from dlcli.tasks.box_metrics import MeanAveragePrecision
from dlcli.tasks.detection import Detection

CLASSES = ("red", "blue", "green")


def made_task(**more: Any) -> Detection:
    return Detection(CLASSES, (5, 4, 1), [[0.1, 0.1, 0.3, 0.3, 1.0, 0.0]], **more)


def random_rows(rows: int = 12, *, crowds: bool = False) -> tuple[Boxes, Tensor]:
    """Return boxes and detections near many of them, some of another class, twice, or far away."""
    random = np.random.default_rng(1)
    counts = random.integers(0, 6, rows)
    corners = random.uniform(0, 0.7, (counts.sum(), 4))
    corners[:, 2:] = corners[:, :2] + random.uniform(0.05, 0.3, (counts.sum(), 2))
    codes = random.integers(0, 2, counts.sum())  # the last class has no box
    crowd = random.random(counts.sum()) < (0.3 if crowds else 0)
    boxes = Boxes(corners, codes, crowd, counts, np.tile([60, 80], (rows, 1)))
    padded = np.asarray(boxes)
    found = np.zeros((rows, 10, 6), np.float32)
    found[..., 5] = -1
    for row in range(rows):
        own = padded[row][padded[row, :, 4] >= 0]
        near = np.concatenate([own, own[: len(own) // 2], own[:1]])[:10]
        moved = near[:, :4] + random.normal(0, 0.02, (len(near), 4))
        labels = np.where(random.random(len(near)) < 0.2, random.integers(0, 3, len(near)), near[:, 4])
        scores = np.sort(random.uniform(0.05, 1, len(near)).round(2))[::-1]  # some are equal
        found[row, : len(near)] = np.column_stack([moved, scores, labels])
    return boxes, with_loss(torch.tensor(1.5), torch.from_numpy(found))


def values_of(task: Detection, outputs: Tensor, y: Tensor) -> dict[str, float]:
    inputs = task.metric_inputs(outputs, y)
    found = {}
    for name, metric in task.metrics().items():
        for rows in (slice(0, 5), slice(5, None)):
            metric.update(*(values[rows] for values in inputs))
        found[name] = float(metric.compute())
    return found


@pytest.mark.parametrize("crowds", [False, True])
def test_average_precision_is_that_of_torchmetrics(crowds: bool) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    from torchmetrics.detection import MeanAveragePrecision as Reference

    boxes, outputs = random_rows(crowds=crowds)
    task, y = made_task(), torch.from_numpy(np.asarray(boxes))
    reference = Reference(backend="faster_coco_eval", class_metrics=True)
    detections = task.predicted(outputs)
    for own, target in zip(detections, y, strict=True):
        own, target = own[own[:, 5] >= 0], target[target[:, 4] >= 0]
        reference.update(
            [{"boxes": own[:, :4] * 100, "scores": own[:, 4], "labels": own[:, 5].long()}],
            [{"boxes": target[:, :4] * 100, "labels": target[:, 4].long(), "iscrowd": target[:, 5].long()}],
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.compute()
    found = values_of(task, outputs, y)
    assert 0.2 < found["map"] < 0.95
    for name in ("map", "map_50", "map_75"):
        assert found[name] == pytest.approx(float(expected[name]), abs=1e-6)
    per_class = task.breakdown(outputs, boxes).set_index("class")["map"]
    reported = dict(zip(expected["classes"].tolist(), expected["map_per_class"].tolist(), strict=True))
    for code, name in enumerate(CLASSES[:2]):
        assert per_class[name] == pytest.approx(reported[code], abs=1e-6)
    assert np.isnan(per_class["green"])


def test_perfect_detections_and_none() -> None:
    boxes, _ = random_rows()
    y = torch.from_numpy(np.asarray(boxes))
    perfect = torch.cat([y[..., :4], torch.ones_like(y[..., :1]), y[..., 4:5]], dim=2)
    task = made_task()
    assert values_of(task, with_loss(torch.tensor(1.5), perfect), y) == {
        "map_50": 1.0,
        "map": 1.0,
        "map_75": 1.0,
    }
    nothing = with_loss(torch.tensor(1.5), torch.zeros(len(y), 0, 6))
    assert values_of(task, nothing, y)["map"] == 0
    assert [name for name, _ in task.pictures(nothing, boxes)] == ["precision_recall", "precision_by_overlap"]
    empty = MeanAveragePrecision("map", 3)
    empty.update(torch.zeros(2, 0, 4), torch.zeros(2, 3))
    assert empty.compute().isnan()


def test_a_table_of_judged_rows_restores_the_metrics() -> None:
    boxes, outputs = random_rows()
    task, y = made_task(score_threshold=0.3), torch.from_numpy(np.asarray(boxes))
    table = task.judged(outputs, boxes)
    cases = task.cases(outputs, boxes)
    missed = np.bincount(cases.rows, weights=cases.errors, minlength=len(table))
    np.testing.assert_array_equal(missed, table["missed"])
    restored = task.metric_inputs_of(table)
    assert restored is not None
    for metric in task.metrics().values():
        metric.update(*restored[:2])
        again = float(metric.compute())
        metric.reset()
        metric.update(*task.metric_inputs(outputs, y))
        assert again == float(metric.compute())
    assert (table["found"] + table["missed"] == table["boxes(red)"] + table["boxes(blue)"]).all()
    assert table["wrong"].sum() > 0
    worst = [row for row, _ in task.worst(outputs, boxes)]
    assert (table["missed"] + table["wrong"])[worst[0]] == (table["missed"] + table["wrong"]).max()


def test_the_threshold_is_that_of_the_highest_f1() -> None:
    boxes, outputs = random_rows()
    task = made_task()
    tuned = task.tune(outputs, boxes)["tuned_threshold"]

    def mean_f1(threshold: float) -> float:
        table = made_task(score_threshold=threshold).breakdown(outputs, boxes).iloc[:2]
        return float(
            (2 * table["precision"] * table["recall"] / (table["precision"] + table["recall"])).mean()
        )

    tried = {threshold: mean_f1(threshold) for threshold in (0.05, 0.2, 0.4, 0.6, 0.8, tuned)}
    assert tried[tuned] == max(tried.values())
    assert made_task(tuned_threshold=tuned).score_threshold == tuned
    assert made_task(score_threshold=0.25).tune(outputs, boxes) == {}
    without = with_loss(torch.tensor(1.5), torch.zeros(len(boxes), 0, 6))
    assert made_task().tune(without, boxes) == {}, "all thresholds are equal"
    assert made_task().score_threshold == 0.5


def test_typical_boxes_are_as_many_as_images_have() -> None:
    corners = np.repeat([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.9, 0.9], [0.3, 0.3, 0.4, 0.4]], 10, axis=0)
    codes = np.repeat([0, 0, 1], 10)
    boxes = Boxes(corners, codes, np.zeros(30, bool), np.full(10, 3), np.ones((10, 2)))
    found = np.array(boxes.facts(np.arange(10), ("a", "b"))["typical_boxes"])
    np.testing.assert_allclose(found[:, 4:], [[1, 1], [0.5, 0], [0.5, 0]])
    np.testing.assert_allclose(sorted(found[1:, 0]), [0.1, 0.5], atol=1e-6)

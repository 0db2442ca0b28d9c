"""Means over fewer classes, labels or targets than there are: their numbers are counted and told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dlcli.inference.evaluation import Evaluation
from dlcli.inference.partial_means import means_over, notices_on_means
from dlcli.tasks.box_metrics import MeanAveragePrecision
from dlcli.tasks.class_metrics import auroc, decision_rate
from dlcli.tasks.entity_metrics import EntityScore
from dlcli.tasks.mask_boundaries import BoundaryF
from dlcli.tasks.mask_metrics import MaskOverlap
from dlcli.tasks.metric import Metric
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.number_metrics import MASE, R2, MASEBySeries
from dlcli.tasks.task_metric import TaskMetric
from dlcli.training.scores import Scores

P = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
Y = torch.tensor([0, 1, 1])  # no row has class 2, which is never predicted either
PIXELS = torch.tensor([[[5, 3, 0], [4, 4, 0], [4, 3, 0]]])
LINES = torch.tensor([[[2, 2, 0], [1, 2, 0], [2, 2, 0], [1, 2, 0]]])
ENTITIES = torch.tensor([[[2, 0, 9], [1, 0, 9], [1, 0, 8]]])
BOXES = torch.tensor([[[0.9, 0.0, 1023.0, 0.0]]])
NUMBERS = torch.tensor([[1.0, 7.0], [2.0, 7.0], [4.0, 7.0]])  # the second target has one value


def multiclass(rate: str) -> Metric:
    return decision_rate(rate, "multiclass", num_classes=3)  # type: ignore[arg-type]


def wrapped(name: str) -> Metric:
    import torchmetrics

    made = getattr(torchmetrics, name)(num_outputs=2)
    return TaskMetric(made, takes="values", undefined=["constant_target"])


@pytest.mark.parametrize(
    ("metric", "inputs", "over"),
    [
        (multiclass("recall"), (P, Y), (2, 3)),
        (multiclass("f1"), (P, Y), (2, 3)),
        (multiclass("g_mean"), (P, Y), (2, 3)),
        (multiclass("specificity"), (P, Y), (3, 3)),
        (multiclass("accuracy"), (P, Y), None),
        (decision_rate("f1", "multiclass", 3, average="weighted"), (P, Y), None),
        (decision_rate("recall", "multilabel", num_labels=3), (P, P > 0.7), (2, 3)),
        (auroc(), (P, Y), (2, 3)),
        (auroc(), (P, P > 0.7), (2, 3)),
        (MaskOverlap("miou", 3), (PIXELS, Y), (2, 3)),
        (MaskOverlap("dice", 3), (PIXELS, Y), (2, 3)),
        (MaskOverlap("class_accuracy", 3), (PIXELS, Y), (2, 3)),
        (MaskOverlap("pixel_accuracy", 3), (PIXELS, Y), None),
        (BoundaryF(3), (torch.cat([PIXELS, LINES], dim=1), Y), (2, 3)),
        (EntityScore("macro_f1", 2), (ENTITIES, Y), (1, 2)),
        (EntityScore("f1", 2), (ENTITIES, Y), None),
        (MeanAveragePrecision("map", 3), (BOXES, torch.tensor([[1, 0, 2]])), (2, 3)),
        (R2(torch.zeros(2)), (NUMBERS, NUMBERS), (1, 2)),
        (MASE(torch.tensor([1.0, 0.0])), (NUMBERS, NUMBERS), (1, 2)),
        (wrapped("PearsonCorrCoef"), (NUMBERS + 0.1 * NUMBERS**2, NUMBERS), (1, 2)),
    ],
)
def test_what_a_mean_is_over(metric: Metric, inputs: tuple[Tensor, Tensor], over: tuple[int, int]) -> None:
    metric.update(*inputs)
    assert metric.over() == over
    assert not metric.compute().isnan().any()


class Told:
    kind = "tag"


def test_each_part_is_told_with_the_largest_number_of_missing_classes() -> None:
    parts = {
        "val": Evaluation(Y.numpy(), Y, P, {}, {}, over={"a": (2, 3), "b": (1, 3), "c": (2, 3)}),
        "test": Evaluation(Y.numpy(), Y, P, {}, {}),
    }
    assert means_over(parts) == {"val/a": 2, "val/b": 1, "val/c": 2}  # type: ignore[arg-type]
    (notice,) = notices_on_means(Told(), parts)  # type: ignore[arg-type]
    assert (notice.key, notice.count) == ("val_means_over_fewer", 2)
    assert notice.text == (
        "On the val rows, means are over the types of entities that are defined there: a and c over 2 of 3 types of "
        "entities; b over 1 of 3 types of entities"
    )


def test_warnings_of_another_library_are_told() -> None:
    """torchmetrics counts a class without rows as 0, and says so."""
    area = MetricChoice("area", {"_target_": "torchmetrics.AUROC"})
    task = Multiclass("abc", [1, 1, 1], nn.CrossEntropyLoss(), metrics=[area, "auroc"])
    scores = Scores(task)
    scores.add(9 * P, Y)
    over: dict[str, tuple[int, int]] = {}
    values = scores.compute(over)
    assert (values["auroc"], over) == (1, {"auroc": (2, 3)})
    assert values["area"] == pytest.approx(2 / 3)
    (notice,) = notices_on_means(task, {"test": Evaluation(Y.numpy(), Y, P, {}, {}, remarks=scores.remarks)})
    assert notice.text.startswith("area on the final test rows: No positive samples in targets")


def test_undefined_metrics_are_told_with_the_reason() -> None:
    nan = float("nan")
    defined = {"loss": 1.0, "f1": 0.5}
    parts = {
        "val": Evaluation(Y.numpy(), Y, P, defined | {"recall": nan, "auroc": nan}, {}),
        "test": Evaluation(Y.numpy(), Y, P, {"loss": nan, "f1": nan}, {}),  # the model has diverged
    }
    task = Multiclass("abc", [1, 1, 1], nn.CrossEntropyLoss())
    (notice,) = notices_on_means(task, parts)  # type: ignore[arg-type]
    assert (notice.key, notice.count) == ("val_undefined", 2)
    assert notice.text == "On the val rows, recall and auroc are undefined (they need rows of each class)"


def test_series_without_a_naive_error_are_counted() -> None:
    metric = MASEBySeries()
    metric.update(NUMBERS + 1, NUMBERS, torch.tensor([[2.0, 0.0], [2.0, torch.nan], [2.0, 1.0]]))
    assert float(metric.compute()) == pytest.approx((3 * 0.5 + 1) / 4)
    (said,) = metric.remarks
    assert said.startswith("2 forecast values (33.3%) are left out")
    metric.reset()
    metric.update(NUMBERS + 1, NUMBERS, torch.ones(3, 2))
    assert float(metric.compute()) == 1 and not metric.remarks

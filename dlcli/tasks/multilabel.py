"""Multilabel classification: each of several labels is there or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import (
    MultilabelAccuracy,
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)

from dlcli.tasks import metrics as own
from dlcli.tasks.base import Task, prior_logits
from dlcli.tasks.classes import table_of_classes


class Multilabel(Task):
    """Logits `(N, K)` and 0 or 1 of each label `(N, K)`.

    Args:
        classes: names of the labels.
        class_counts: training rows without and with each label `(K, 2)`.
        loss: takes logits and 0 and 1 as floats, returns the mean over rows.
        threshold: a label is predicted where its probability is above.
        average: how precision, recall and f1 are averaged over labels.
    """

    kind: ClassVar = "multilabel"
    accepts: ClassVar = {"multilabel"}
    epoch_metrics = ("accuracy", "exact_match", "precision", "recall", "f1")
    metric_names = (*epoch_metrics, "auroc", "average_precision", "log_loss")

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[Sequence[int]],
        loss: nn.Module,
        threshold: Annotated[float, Ge(0), Le(1)] = 0.5,
        average: Literal["macro", "micro", "weighted"] = "macro",
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.class_counts = tuple(class_counts)
        self.num_outputs = len(self.classes)
        self.criterion = loss
        self.threshold = threshold
        self.average = average

    def encode(self, y: np.ndarray) -> np.ndarray:
        """0 and 1 as floats."""
        return y.astype(np.float32)

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and 0 or 1, both `(N, K)`."""
        return outputs.sigmoid(), y.long()

    def metrics(self) -> dict[str, Metric]:
        """Accuracy over all labels of all rows, exact match over rows, the others averaged over labels."""
        count, average, threshold = self.num_outputs, self.average, self.threshold
        return {
            "accuracy": MultilabelAccuracy(count, threshold, average="micro", validate_args=False),
            "exact_match": MultilabelExactMatch(count, threshold, validate_args=False),
            "precision": MultilabelPrecision(count, threshold, average=average, validate_args=False),
            "recall": MultilabelRecall(count, threshold, average=average, validate_args=False),
            "f1": MultilabelF1Score(count, threshold, average=average, validate_args=False),
            "auroc": own.auroc(),
            "average_precision": own.average_precision(),
            "log_loss": own.LogLoss(),
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Each label's share of the training rows, judged at 0.5: it is predicted where it is there more often."""
        logits = torch.stack([prior_logits(torch.tensor(counts)) for counts in self.class_counts])
        task = Multilabel(self.classes, self.class_counts, self.criterion, average=self.average)
        return task, logits[:, 1] - logits[:, 0]

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """For each label `prediction(LABEL)`, 0 or 1, and `p(LABEL)`."""
        probabilities = self._probabilities(outputs)
        columns = {}
        for index, name in enumerate(self.classes):
            columns[f"prediction({name})"] = self._codes(probabilities[:, index])
            columns[f"p({name})"] = probabilities[:, index]
        return pd.DataFrame(columns)

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """`target(LABEL)`, 0 or 1."""
        return pd.DataFrame({f"target({name})": y[:, index] for index, name in enumerate(self.classes)})

    def describe(self) -> str:
        """Such as `multilabel, loss BinaryCrossEntropy`."""
        return f"multilabel, loss {type(self.criterion).__name__}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame:
        """Precision, recall and f1 of each label."""
        return table_of_classes(y, self._codes(self._probabilities(outputs)), self.classes)

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """Rows with a wrong label, those first whose labels were held least likely."""
        probabilities = self._probabilities(outputs)
        wrong = self._codes(probabilities) != y
        likely = np.log(np.where(y == 1, probabilities, 1 - probabilities).clip(1e-7)).sum(axis=1)
        rows = np.flatnonzero(wrong.any(axis=1))
        return [
            (int(row), "wrong: " + ", ".join(np.asarray(self.classes, dtype=object)[wrong[row]]))
            for row in rows[np.argsort(likely[rows], kind="stable")]
        ]

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """ROC, precision-recall and reliability."""
        from dlcli.reports import classification

        probabilities = self._probabilities(outputs)
        yield "roc", classification.roc(y, probabilities, self.classes)
        yield "precision_recall", classification.precision_recall(y, probabilities, self.classes)
        yield "reliability", classification.reliability(y.ravel() == 1, probabilities.ravel(), "all labels")

    def _probabilities(self, outputs: Tensor) -> np.ndarray:
        return outputs.float().sigmoid().cpu().numpy()

    def _codes(self, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities > np.float32(self.threshold)).astype(np.int64)

"""Multiclass classification: one class out of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)


class Classification:
    """Logits `(N, C)` and class codes `(N,)`.

    Args:
        classes: names of the classes, in the order of their codes.
        loss: takes logits and codes, returns the mean over rows.
        average: how precision, recall and f1 are averaged over classes.
    """

    metric_names = ("accuracy", "precision", "recall", "f1")

    def __init__(
        self,
        classes: Sequence[str],
        loss: nn.Module,
        average: Literal["macro", "micro", "weighted"] = "macro",
    ) -> None:
        self.classes = tuple(classes)
        self.num_outputs = len(self.classes)
        self.loss = loss
        self.average = average

    def metrics(self) -> MetricCollection:
        """Accuracy over rows; precision, recall and f1 as averaged over classes."""
        count, average = self.num_outputs, self.average
        # Inputs are ours: checking their ranges costs as much as the metrics.
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(count, average="micro", validate_args=False),
                "precision": MulticlassPrecision(count, average=average, validate_args=False),
                "recall": MulticlassRecall(count, average=average, validate_args=False),
                "f1": MulticlassF1Score(count, average=average, validate_args=False),
            }
        )

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """`prediction`, and `p(CLASS)` for each class."""
        probabilities = outputs.float().softmax(dim=1).cpu().numpy()
        table = pd.DataFrame(probabilities, columns=[f"p({name})" for name in self.classes])
        table.insert(0, "prediction", self.targets(probabilities.argmax(axis=1)))
        return table

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Class names `(N,)` of codes `(N,)`."""
        return np.asarray(self.classes, dtype=object)[y]

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Confusion matrix, ROC and precision-recall curves."""
        from dlcli.reports import classification

        probabilities = outputs.float().softmax(dim=1).cpu().numpy()
        yield (
            "confusion_matrix",
            classification.confusion_matrix(y, probabilities.argmax(axis=1), self.classes),
        )
        yield "roc", classification.roc(y, probabilities, self.classes)
        yield "precision_recall", classification.precision_recall(y, probabilities, self.classes)

"""Multiclass classification: one class out of several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dlcli.tasks.base import Coverage, Task
from dlcli.tasks.calibration import (
    calibrated_facts,
    calibration_module,
    described_calibration,
)
from dlcli.tasks.classes import codes_of, misclassified, names_of, table_of_classes
from dlcli.tasks.logits import prior_logits
from dlcli.tasks.metric_choice import MetricChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Multiclass(Task):
    """Multiclass classification: outputs are logits `(N, C)`, targets are class codes `(N,)`.

    Args:
        classes: names of the classes, in the order of their codes.
        class_counts: number of training rows of each class.
        loss: maps logits and codes to the mean over rows.
        average: how precision, recall and f1 are averaged over classes.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        coverage: share of rows that prediction sets are to cover, calibrated on the validation rows and measured on the
            test rows; None to measure nothing.
        calibrate: how probabilities are calibrated on the validation rows after training: `temperature`, `vector`,
            `auto` for the best of them, or `none`. A method is kept only if it lowers the log loss of rows that
            it was not fitted on.
        calibrated_by: the method chosen by `tune`.
        calibration: its parameters.
        calibration_scores: log loss before and after, and calibration error before and after.
    """

    kind: ClassVar = "multiclass"
    accepts: ClassVar = {"binary", "multiclass"}
    default_metrics = (
        *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("auroc", "average_precision", "log_loss", "calibration_error"),
    )

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        loss: nn.Module,
        average: Literal["macro", "micro", "weighted"] = "macro",
        metrics: Sequence[str | MetricChoice] = ("default",),
        coverage: Coverage | None = None,
        calibrate: Literal["none", "temperature", "vector", "auto"] = "none",
        calibrated_by: str | None = None,
        calibration: Sequence[Sequence[float]] = (),
        calibration_scores: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.coverage = coverage
        self.classes = tuple(classes)
        self.num_outputs = len(self.classes)
        self.criterion = loss
        self.average = average
        self.class_counts = tuple(class_counts)
        self._prior = prior_logits(torch.tensor(class_counts))
        self.calibrate = calibrate
        self._calibrated_by, self._calibration = calibrated_by, calibration
        self._calibration_scores = tuple(calibration_scores)
        self.choose(metrics)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return the codes unchanged."""
        return y

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the logarithms `(N, C)` of the mean probabilities of members `(N, K, C)`."""
        return outputs.log_softmax(dim=-1).logsumexp(dim=1) - math.log(outputs.shape[1])

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities `(N, C)` and codes `(N,)`."""
        return outputs.softmax(dim=1), y

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take."""
        return {
            "task": "multiclass",
            "num_classes": len(self.classes),
            "num_labels": None,
            "classes": self.classes,
            "class_counts": self.class_counts,
            "average": self.average,
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the classes' shares of the training rows, which predict the most frequent class."""
        return self, self._prior

    def calibration(self) -> nn.Module | None:
        """Return the map to calibrated logits; None without one."""
        return calibration_module(self._calibrated_by, self._calibration)

    @property
    def tunes(self) -> bool:
        """Whether anything is to be tuned, by the settings or by `tune` of a derived class."""
        return self.calibrate != "none" or type(self).tune is not Multiclass.tune

    def tune(self, outputs: Tensor, y: np.ndarray) -> dict[str, Any]:
        """Return the calibration, if one is configured."""
        return calibrated_facts(self.calibrate, outputs, y)

    def tuned(self) -> str:
        """Return a description of the calibration."""
        return described_calibration(self._calibrated_by, self._calibration_scores)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the columns `prediction`, and `p(CLASS)` for each class."""
        probabilities = self._probabilities(outputs)
        table = pd.DataFrame(probabilities, columns=[f"p({name})" for name in self.classes])
        table.insert(0, "prediction", names_of(self.classes, probabilities.argmax(axis=1)))
        return table

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """Return the column `target` with class names."""
        return pd.DataFrame({"target": names_of(self.classes, y)})

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore probabilities `(N, C)` and codes `(N,)`."""
        codes, columns = codes_of(self.classes, table["target"]), [f"p({name})" for name in self.classes]
        if codes is None or not set(columns) <= set(table.columns):
            return None
        return (
            torch.from_numpy(table[columns].to_numpy().astype(np.float32, order="C")),
            torch.from_numpy(codes),
            {},
        )

    def describe(self) -> str:
        """Return a description such as `multiclass, loss CrossEntropy`."""
        return f"multiclass, loss {type(self.criterion).__name__}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame:
        """Return precision, recall and f1 of each class."""
        return table_of_classes(y, self._probabilities(outputs).argmax(axis=1), self.classes)

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """Return the misclassified rows in order of descending confidence."""
        probabilities = self._probabilities(outputs)
        return misclassified(y, probabilities.argmax(axis=1), probabilities.max(axis=1), self.classes)

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Yield the confusion matrix and the ROC, precision-recall and reliability curves."""
        from dlcli.reports import classification  # a prediction needs no matplotlib

        probabilities = self._probabilities(outputs)
        predicted = probabilities.argmax(axis=1)
        yield "confusion_matrix", classification.confusion_matrix(y, predicted, self.classes)
        yield "roc", classification.roc(y, probabilities, self.classes)
        yield "precision_recall", classification.precision_recall(y, probabilities, self.classes)
        confidence = probabilities.max(axis=1)
        yield "reliability", classification.reliability(predicted == y, confidence, "the predicted class")

    def _probabilities(self, outputs: Tensor) -> np.ndarray:
        return outputs.float().softmax(dim=1).cpu().numpy()

"""Binary classification with a decision threshold that can be tuned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from dlcli.tasks.base import Coverage, Task
from dlcli.tasks.calibration import (
    Calibrator,
    apply_calibration,
    calibrated_facts,
    calibration_module,
    described_calibration,
)
from dlcli.tasks.classes import codes_of, misclassified, names_of, table_of_classes
from dlcli.tasks.logits import mean_of_sigmoids, prior_logits
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.threshold import Tunable, best_threshold

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Binary(Task):
    """Binary classification: outputs are the second class's logit `(N, 1)`, targets are class codes `(N,)`.

    The second class is the positive one. Precision, recall, f1, average precision and calibration error refer to it.

    Args:
        classes: names of the two classes, the negative one first.
        class_counts: number of training rows of each class.
        loss: maps logits `(N, 1)` and targets 0 and 1 as floats `(N, 1)` to the mean over rows.
        threshold: the second class is predicted if its probability is above this value.
        tune_threshold: metric by which the threshold is chosen on the validation rows after training. The metrics at
            `threshold` are reported too, as `f1_untuned` and so on.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        coverage: share of rows that prediction sets are to cover, calibrated on the validation rows and measured on the
            test rows; None to measure nothing.
        tuned_threshold: the threshold found by `tune`.
        calibrate: how probabilities are calibrated on the validation rows after training: `temperature`, `vector`,
            `isotonic`, `auto` for the best of them, or `none`. A method is kept only if it lowers the log loss of rows
            that it was not fitted on.
        calibrated_by: the method chosen by `tune`.
        calibration: its parameters.
        calibration_scores: log loss before and after, and calibration error before and after.

    Raises:
        ValueError: the number of classes is not two.
    """

    kind: ClassVar = "binary"
    accepts: ClassVar = {"binary"}
    num_outputs = 1
    default_metrics = (
        *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("auroc", "average_precision", "log_loss", "calibration_error"),
    )

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        loss: nn.Module,
        threshold: Annotated[float, Ge(0), Le(1)] = 0.5,
        tune_threshold: Tunable | None = None,
        metrics: Sequence[str | MetricChoice] = ("default",),
        coverage: Coverage | None = None,
        tuned_threshold: float | None = None,
        calibrate: Calibrator = "none",
        calibrated_by: str | None = None,
        calibration: Sequence[Sequence[float]] = (),
        calibration_scores: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.coverage = coverage
        if len(classes) != 2:
            raise ValueError(f"binary classification has two classes, not {len(classes)}")
        self.classes = tuple(classes)
        self.class_counts = tuple(class_counts)
        self.criterion = loss
        self.default_threshold = threshold
        self.tune_threshold = tune_threshold
        self.threshold = threshold if tuned_threshold is None else tuned_threshold
        self.is_tuned = tuned_threshold is not None
        self.calibrate = calibrate
        self._calibrated_by, self._calibration = calibrated_by, calibration
        self._calibration_scores = tuple(calibration_scores)
        self.choose(metrics)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return 0 and 1 as floats `(N, 1)`."""
        return y.astype(np.float32).reshape(-1, 1)

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the logits `(N, L)` of the mean probabilities of members `(N, K, L)`."""
        return mean_of_sigmoids(outputs)

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the second class's probability and the target 0 or 1, both `(N,)`."""
        return outputs.sigmoid().flatten(), y.long().flatten()

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take."""
        return {
            "task": "binary",
            "num_classes": 2,
            "num_labels": None,
            "classes": self.classes,
            "class_counts": self.class_counts,
            "threshold": self.threshold if tuned else self.default_threshold,
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the second class's share of the training rows, which predicts the most frequent class at 0.5."""
        negative, positive = prior_logits(torch.tensor(self.class_counts))
        task = Binary(self.classes, self.class_counts, self.criterion, metrics=self.metric_choices)
        return task, (positive - negative).reshape(1)

    def calibration(self) -> nn.Module | None:
        """Return the map to calibrated logits; None without one."""
        return calibration_module(self._calibrated_by, self._calibration)

    @property
    def tunes(self) -> bool:
        """Whether anything is to be tuned, by the settings or by `tune` of a derived class."""
        return (
            self.calibrate != "none" or self.tune_threshold is not None or type(self).tune is not Binary.tune
        )

    def tune(self, outputs: Tensor, y: np.ndarray) -> dict[str, Any]:
        """Return the calibration, and `tuned_threshold` if tuning is configured and both classes occur among the rows.

        The threshold applies to calibrated probabilities.
        """
        facts = calibrated_facts(self.calibrate, outputs, y)
        if self.tune_threshold is None:
            return facts
        shares = self._probabilities(apply_calibration(facts, outputs))
        best = best_threshold(shares, y, self.tune_threshold, self.default_threshold)
        return facts if best is None else {**facts, "tuned_threshold": best}

    def tuned(self) -> str:
        """Return a description such as `tuned_threshold 0.31`."""
        threshold = f"tuned_threshold {self.threshold:.4g}" if self.is_tuned else ""
        calibrated = described_calibration(self._calibrated_by, self._calibration_scores)
        return "; ".join(filter(None, [calibrated, threshold]))

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the columns `prediction`, and `p(CLASS)` for both classes."""
        probabilities = self._probabilities(outputs)
        negative, positive = self.classes
        return pd.DataFrame(
            {
                "prediction": names_of(self.classes, self._codes(probabilities)),
                f"p({negative})": 1 - probabilities,
                f"p({positive})": probabilities,
            }
        )

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """Return the column `target` with class names."""
        return pd.DataFrame({"target": names_of(self.classes, y)})

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the second class's probability and the target 0 or 1, both `(N,)`."""
        codes, column = codes_of(self.classes, table["target"]), f"p({self.classes[1]})"
        if codes is None or column not in table:
            return None
        return torch.from_numpy(table[column].to_numpy(np.float32, copy=True)), torch.from_numpy(codes), {}

    def describe(self) -> str:
        """Return a description such as `binary, benign or malignant, loss BinaryCrossEntropy, threshold tuned
        for f1`."""
        tuned = f", threshold tuned for {self.tune_threshold}" if self.tune_threshold else ""
        return f"binary, {' or '.join(self.classes)}, loss {type(self.criterion).__name__}{tuned}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame:
        """Return precision, recall and f1 of each class."""
        return table_of_classes(y, self._codes(self._probabilities(outputs)), self.classes)

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """Return the misclassified rows in order of descending confidence."""
        probabilities = self._probabilities(outputs)
        codes = self._codes(probabilities)
        return misclassified(y, codes, np.where(codes == 1, probabilities, 1 - probabilities), self.classes)

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Yield the confusion matrix and the ROC, precision-recall and reliability curves."""
        from dlcli.reports import classification  # a prediction needs no matplotlib

        probabilities = self._probabilities(outputs)
        yield "confusion_matrix", classification.confusion_matrix(y, self._codes(probabilities), self.classes)
        yield "roc", classification.roc(y, probabilities, self.classes)
        yield "precision_recall", classification.precision_recall(y, probabilities, self.classes)
        yield "reliability", classification.reliability(y == 1, probabilities, self.classes[1])

    def _probabilities(self, outputs: Tensor) -> np.ndarray:
        return outputs.float().sigmoid().flatten().cpu().numpy()

    def _codes(self, probabilities: np.ndarray) -> np.ndarray:
        # Compare in the precision of the probabilities, as the metrics do.
        return (probabilities > np.float32(self.threshold)).astype(np.int64)

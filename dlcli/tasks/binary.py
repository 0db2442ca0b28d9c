"""Binary classification: yes or no, with a threshold that can be tuned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryCalibrationError,
    BinaryF1Score,
    BinaryPrecision,
    BinaryRecall,
)

from dlcli.tasks import metrics as own
from dlcli.tasks.base import Task, prior_logits
from dlcli.tasks.classes import codes_of, misclassified, names_of, table_of_classes
from dlcli.tasks.threshold import Tunable, best_threshold, untuned

_DECISIONS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")


class Binary(Task):
    """One logit `(N, 1)`, that of the second class, and class codes `(N,)`.

    Precision, recall, f1, average precision and the calibration error are those of the second class.

    Args:
        classes: names of the two classes: no, then yes.
        class_counts: training rows of each.
        loss: takes logits `(N, 1)` and 0 and 1 as floats `(N, 1)`, returns the mean over rows.
        threshold: the second class is predicted where its probability is above.
        tune_threshold: chooses the threshold by this metric on the validation rows, once the weights are trained. The
            figures at `threshold` are given beside, as `f1_untuned` and so on.
        tuned_threshold: what `tune` found.

    Raises:
        ValueError: there are not two classes.
    """

    kind: ClassVar = "binary"
    accepts: ClassVar = {"binary"}
    num_outputs = 1
    epoch_metrics = _DECISIONS

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        loss: nn.Module,
        threshold: Annotated[float, Ge(0), Le(1)] = 0.5,
        tune_threshold: Tunable | None = None,
        tuned_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if len(classes) != 2:
            raise ValueError(f"binary classification has two classes, not {len(classes)}")
        self.classes = tuple(classes)
        self.class_counts = tuple(class_counts)
        self.criterion = loss
        self.default_threshold = threshold
        self.tune_threshold = tune_threshold
        self.threshold = threshold if tuned_threshold is None else tuned_threshold
        untuned_names = () if tuned_threshold is None else tuple(map(untuned, _DECISIONS))
        self.metric_names = (
            *_DECISIONS,
            *untuned_names,
            *("auroc", "average_precision", "log_loss", "calibration_error"),
        )

    def encode(self, y: np.ndarray) -> np.ndarray:
        """0 and 1 as floats `(N, 1)`."""
        return y.astype(np.float32).reshape(-1, 1)

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The second class's probability and 0 or 1, both `(N,)`."""
        return outputs.sigmoid().flatten(), y.long().flatten()

    def metrics(self) -> dict[str, Metric]:
        """Decisions at the threshold (once it is tuned, at the default one too), and what needs none."""
        found = _decisions(self.threshold)
        for name, metric in _decisions(self.default_threshold).items():
            found[untuned(name)] = metric
        found |= {
            "auroc": own.auroc(),
            "average_precision": own.average_precision(),
            "log_loss": own.LogLoss(),
            "calibration_error": BinaryCalibrationError(n_bins=own.CALIBRATION_BINS, validate_args=False),
        }
        return {name: found[name] for name in self.metric_names}

    def baseline(self) -> tuple[Task, Tensor]:
        """The second class's share of the training rows, judged at 0.5: the most frequent class is predicted."""
        no, yes = prior_logits(torch.tensor(self.class_counts))
        return Binary(self.classes, self.class_counts, self.criterion), (yes - no).reshape(1)

    def tune(self, outputs: Tensor, y: np.ndarray) -> dict[str, float]:
        """`tuned_threshold`, where one is wanted and the rows are of both classes."""
        if self.tune_threshold is None:
            return {}
        best = best_threshold(self._probabilities(outputs), y, self.tune_threshold, self.default_threshold)
        return {} if best is None else {"tuned_threshold": best}

    def tuned(self) -> str:
        """Such as `tuned_threshold 0.31`."""
        return f"tuned_threshold {self.threshold:.4g}"

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """`prediction`, and `p(CLASS)` for both classes."""
        yes = self._probabilities(outputs)
        no_name, yes_name = self.classes
        return pd.DataFrame(
            {
                "prediction": names_of(self.classes, self._codes(yes)),
                f"p({no_name})": 1 - yes,
                f"p({yes_name})": yes,
            }
        )

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """`target`: class names."""
        return pd.DataFrame({"target": names_of(self.classes, y)})

    def read_back(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """The second class's probability and 0 or 1, both `(N,)`."""
        codes, column = codes_of(self.classes, table["target"]), f"p({self.classes[1]})"
        if codes is None or column not in table:
            return None
        return torch.from_numpy(table[column].to_numpy(np.float32, copy=True)), torch.from_numpy(codes), {}

    def describe(self) -> str:
        """Such as `binary, benign or malignant, loss BinaryCrossEntropy, threshold tuned for f1`."""
        tuned = f", threshold tuned for {self.tune_threshold}" if self.tune_threshold else ""
        return f"binary, {' or '.join(self.classes)}, loss {type(self.criterion).__name__}{tuned}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame:
        """Precision, recall and f1 of each class."""
        return table_of_classes(y, self._codes(self._probabilities(outputs)), self.classes)

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """Misclassified rows, those first that the model was surest of."""
        yes = self._probabilities(outputs)
        codes = self._codes(yes)
        return misclassified(y, codes, np.where(codes == 1, yes, 1 - yes), self.classes)

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Confusion matrix, ROC, precision-recall and reliability."""
        from dlcli.reports import classification

        yes = self._probabilities(outputs)
        yield "confusion_matrix", classification.confusion_matrix(y, self._codes(yes), self.classes)
        yield "roc", classification.roc(y, yes, self.classes)
        yield "precision_recall", classification.precision_recall(y, yes, self.classes)
        yield "reliability", classification.reliability(y == 1, yes, self.classes[1])

    def _probabilities(self, outputs: Tensor) -> np.ndarray:
        return outputs.float().sigmoid().flatten().cpu().numpy()

    def _codes(self, yes: np.ndarray) -> np.ndarray:
        # As torchmetrics compares: in the probabilities' own precision.
        return (yes > np.float32(self.threshold)).astype(np.int64)


def _decisions(threshold: float) -> dict[str, Metric]:
    return {
        "accuracy": BinaryAccuracy(threshold, validate_args=False),
        "balanced_accuracy": own.BalancedAccuracy(threshold, validate_args=False),
        "precision": BinaryPrecision(threshold, validate_args=False),
        "recall": BinaryRecall(threshold, validate_args=False),
        "f1": BinaryF1Score(threshold, validate_args=False),
    }

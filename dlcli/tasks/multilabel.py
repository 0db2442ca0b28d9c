"""Multilabel classification: each of several labels is there or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryCalibrationError,
    MultilabelAccuracy,
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)

from dlcli.tasks import metrics as own
from dlcli.tasks.base import Task, prior_logits
from dlcli.tasks.classes import table_of_classes
from dlcli.tasks.threshold import Tunable, best_threshold, untuned

_DECISIONS = ("accuracy", "balanced_accuracy", "exact_match", "precision", "recall", "f1")

# Labels whose thresholds are told.
_SHOWN = 8


class Multilabel(Task):
    """Logits `(N, K)` and 0 or 1 of each label `(N, K)`.

    Args:
        classes: names of the labels.
        class_counts: training rows without and with each label `(K, 2)`.
        loss: takes logits and 0 and 1 as floats, returns the mean over rows.
        threshold: a label is predicted where its probability is above.
        tune_threshold: chooses each label's threshold by this metric of the label on the validation rows, once the
            weights are trained. The figures at `threshold` are given beside, as `f1_untuned` and so on.
        average: how precision, recall and f1 are averaged over labels.
        tuned_thresholds: what `tune` found, one a label.
    """

    kind: ClassVar = "multilabel"
    accepts: ClassVar = {"multilabel"}
    epoch_metrics = _DECISIONS

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[Sequence[int]],
        loss: nn.Module,
        threshold: Annotated[float, Ge(0), Le(1)] = 0.5,
        tune_threshold: Tunable | None = None,
        average: Literal["macro", "micro", "weighted"] = "macro",
        tuned_thresholds: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.class_counts = tuple(class_counts)
        self.num_outputs = len(self.classes)
        self.criterion = loss
        self.default_threshold = threshold
        self.tune_threshold = tune_threshold
        self.average = average
        self.tuned_thresholds = tuned_thresholds
        # As torchmetrics compares: in the probabilities' own precision.
        self.thresholds = np.full(self.num_outputs, threshold, np.float32)
        if tuned_thresholds is not None:
            self.thresholds[:] = tuned_thresholds
        self.metric_names = (
            *_DECISIONS,
            *(map(untuned, _DECISIONS) if tuned_thresholds is not None else ()),
            *("auroc", "average_precision", "log_loss", "calibration_error"),
        )

    def encode(self, y: np.ndarray) -> np.ndarray:
        """0 and 1 as floats."""
        return y.astype(np.float32)

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities and 0 or 1, both `(N, K)`."""
        return outputs.sigmoid(), y.long()

    def metrics(self) -> dict[str, Metric]:
        """Accuracy over all labels of all rows, exact match over rows, the others averaged over labels.

        The calibration error is that of all labels together.
        """
        found = self._decisions(torch.from_numpy(self.thresholds) if self.tuned_thresholds else None)
        for name, metric in self._decisions(None).items():
            found[untuned(name)] = metric
        found |= {
            "auroc": own.auroc(),
            "average_precision": own.average_precision(),
            "log_loss": own.LogLoss(),
            "calibration_error": BinaryCalibrationError(n_bins=own.CALIBRATION_BINS, validate_args=False),
        }
        return {name: found[name] for name in self.metric_names}

    def _decisions(self, thresholds: Tensor | None) -> dict[str, Metric]:
        # torchmetrics compares probabilities `(N, K)` with whatever it is given: one number, or one a label.
        options: dict[str, Any] = {
            "num_labels": self.num_outputs,
            "threshold": self.default_threshold if thresholds is None else thresholds,
            "validate_args": False,
        }
        return {
            "accuracy": MultilabelAccuracy(**options, average="micro"),
            "balanced_accuracy": own.MultilabelBalancedAccuracy(**options, average="none"),
            "exact_match": MultilabelExactMatch(**options),
            "precision": MultilabelPrecision(**options, average=self.average),
            "recall": MultilabelRecall(**options, average=self.average),
            "f1": MultilabelF1Score(**options, average=self.average),
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Each label's share of the training rows, judged at 0.5: it is predicted where it is there more often."""
        logits = torch.stack([prior_logits(torch.tensor(counts)) for counts in self.class_counts])
        task = Multilabel(self.classes, self.class_counts, self.criterion, average=self.average)
        return task, logits[:, 1] - logits[:, 0]

    def tune(self, outputs: Tensor, y: np.ndarray) -> dict[str, Any]:
        """`tuned_thresholds`, where they are wanted; of a label that no or all rows have, the default one."""
        if self.tune_threshold is None:
            return {}
        found = [
            best_threshold(probabilities, hits, self.tune_threshold, self.default_threshold)
            for probabilities, hits in zip(self._probabilities(outputs).T, y.T, strict=True)
        ]
        return {"tuned_thresholds": [self.default_threshold if best is None else best for best in found]}

    def tuned(self) -> str:
        """Such as `tuned_thresholds 0.31 (warm), 0.5 (wet)`; `breakdown.csv` has all of them."""
        shown = [
            f"{threshold:.4g} ({name})"
            for threshold, name in zip(self.thresholds[:_SHOWN], self.classes, strict=False)
        ]
        more = f" and {self.num_outputs - _SHOWN} more" if self.num_outputs > _SHOWN else ""
        return f"tuned_thresholds {', '.join(shown)}{more}"

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """For each label `prediction(LABEL)`, 0 or 1, and `p(LABEL)`."""
        probabilities = self._probabilities(outputs)
        codes = self._codes(probabilities)
        columns = {}
        for index, name in enumerate(self.classes):
            columns[f"prediction({name})"] = codes[:, index]
            columns[f"p({name})"] = probabilities[:, index]
        return pd.DataFrame(columns)

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """`target(LABEL)`, 0 or 1."""
        return pd.DataFrame({f"target({name})": y[:, index] for index, name in enumerate(self.classes)})

    def read_back(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Probabilities and 0 or 1, both `(N, K)`."""
        probabilities, y = ([f"{what}({name})" for name in self.classes] for what in ("p", "target"))
        if not {*probabilities, *y} <= set(table.columns):
            return None
        return (
            torch.from_numpy(table[probabilities].to_numpy().astype(np.float32, order="C")),
            torch.from_numpy(table[y].to_numpy().astype(np.int64, order="C")),
            {},
        )

    def describe(self) -> str:
        """Such as `multilabel, loss BinaryCrossEntropy, thresholds tuned for f1`."""
        tuned = f", thresholds tuned for {self.tune_threshold}" if self.tune_threshold else ""
        return f"multilabel, loss {type(self.criterion).__name__}{tuned}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame:
        """Precision, recall and f1 of each label, and its threshold where that was tuned."""
        table = table_of_classes(y, self._codes(self._probabilities(outputs)), self.classes)
        if self.tuned_thresholds:
            table.insert(1, "threshold", pd.Series(self.thresholds))  # the means have none
        return table

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
        return (probabilities > self.thresholds).astype(np.int64)

"""Multilabel classification: each of several labels is present or absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from dlcli.tasks.base import Task
from dlcli.tasks.classes import table_of_classes
from dlcli.tasks.logits import mean_of_sigmoids, prior_logits
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.threshold import Tunable, best_threshold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Maximum number of labels whose thresholds are shown.
_SHOWN = 8


class Multilabel(Task):
    """Multilabel classification: outputs are logits `(N, K)`, targets are 0 or 1 for each label `(N, K)`.

    Args:
        classes: names of the labels.
        class_counts: number of training rows without and with each label `(K, 2)`.
        loss: maps logits and targets 0 and 1 as floats to the mean over rows.
        threshold: a label is predicted if its probability is above this value.
        tune_threshold: metric by which each label's threshold is chosen on the validation rows after training. The
            metrics at `threshold` are reported too, as `f1_untuned` and so on.
        average: how precision, recall and f1 are averaged over labels.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        tuned_thresholds: the thresholds found by `tune`, one per label.
    """

    kind: ClassVar = "multilabel"
    accepts: ClassVar = {"multilabel"}
    default_metrics = (
        *("accuracy", "balanced_accuracy", "exact_match", "precision", "recall", "f1"),
        *("auroc", "average_precision", "log_loss", "calibration_error"),
    )

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[Sequence[int]],
        loss: nn.Module,
        threshold: Annotated[float, Ge(0), Le(1)] = 0.5,
        tune_threshold: Tunable | None = None,
        average: Literal["macro", "micro", "weighted"] = "macro",
        metrics: Sequence[str | MetricChoice] = ("default",),
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
        # Compare in the precision of the probabilities, as the metrics do.
        self.thresholds = np.full(self.num_outputs, threshold, np.float32)
        if tuned_thresholds is not None:
            self.thresholds[:] = tuned_thresholds
        self.is_tuned = tuned_thresholds is not None
        self.choose(metrics)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return 0 and 1 as floats."""
        return y.astype(np.float32)

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the logits `(N, L)` of the mean probabilities of members `(N, K, L)`."""
        return mean_of_sigmoids(outputs)

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and targets 0 or 1, both `(N, K)`."""
        return outputs.sigmoid(), y.long()

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take; `threshold` is a list once it has been tuned."""
        return {
            "task": "multilabel",
            "num_classes": None,
            "num_labels": len(self.classes),
            "classes": self.classes,
            "class_counts": self.class_counts,
            "average": self.average,
            "threshold": self.thresholds.tolist()
            if tuned and self.tuned_thresholds
            else self.default_threshold,
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Return each label's share of the training rows; at threshold 0.5 this predicts the more frequent value."""
        logits = torch.stack([prior_logits(torch.tensor(counts)) for counts in self.class_counts])
        task = Multilabel(
            self.classes, self.class_counts, self.criterion, average=self.average, metrics=self.metric_choices
        )
        return task, logits[:, 1] - logits[:, 0]

    @property
    def tunes(self) -> bool:
        """Whether anything is to be tuned, by the settings or by `tune` of a derived class."""
        return self.tune_threshold is not None or type(self).tune is not Multilabel.tune

    def tune(self, outputs: Tensor, y: np.ndarray) -> dict[str, Any]:
        """Return `tuned_thresholds` if tuning is configured; a label that is constant over the rows keeps the
        default."""
        if self.tune_threshold is None:
            return {}
        found = [
            best_threshold(probabilities, hits, self.tune_threshold, self.default_threshold)
            for probabilities, hits in zip(self._probabilities(outputs).T, y.T, strict=True)
        ]
        return {"tuned_thresholds": [self.default_threshold if best is None else best for best in found]}

    def tuned(self) -> str:
        """Return a description such as `tuned_thresholds 0.31 (warm), 0.5 (wet)`; `breakdown.csv` lists all of them."""
        shown = [
            f"{threshold:.4g} ({name})"
            for threshold, name in zip(self.thresholds[:_SHOWN], self.classes, strict=False)
        ]
        more = f" and {self.num_outputs - _SHOWN} more" if self.num_outputs > _SHOWN else ""
        return f"tuned_thresholds {', '.join(shown)}{more}"

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return for each label the columns `prediction(LABEL)`, 0 or 1, and `p(LABEL)`."""
        probabilities = self._probabilities(outputs)
        codes = self._codes(probabilities)
        columns = {}
        for index, name in enumerate(self.classes):
            columns[f"prediction({name})"] = codes[:, index]
            columns[f"p({name})"] = probabilities[:, index]
        return pd.DataFrame(columns)

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """Return the columns `target(LABEL)`, 0 or 1."""
        return pd.DataFrame({f"target({name})": y[:, index] for index, name in enumerate(self.classes)})

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore probabilities and targets 0 or 1, both `(N, K)`."""
        probabilities, y = ([f"{what}({name})" for name in self.classes] for what in ("p", "target"))
        if not {*probabilities, *y} <= set(table.columns):
            return None
        return (
            torch.from_numpy(table[probabilities].to_numpy().astype(np.float32, order="C")),
            torch.from_numpy(table[y].to_numpy().astype(np.int64, order="C")),
            {},
        )

    def describe(self) -> str:
        """Return a description such as `multilabel, loss BinaryCrossEntropy, thresholds tuned for f1`."""
        tuned = f", thresholds tuned for {self.tune_threshold}" if self.tune_threshold else ""
        return f"multilabel, loss {type(self.criterion).__name__}{tuned}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame:
        """Return precision, recall and f1 of each label, and its threshold if it was tuned."""
        table = table_of_classes(y, self._codes(self._probabilities(outputs)), self.classes)
        if self.tuned_thresholds:
            table.insert(1, "threshold", pd.Series(self.thresholds))  # the rows of means have no threshold
        return table

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """Return the rows with a wrong label in order of ascending likelihood of their labels."""
        probabilities = self._probabilities(outputs)
        wrong = self._codes(probabilities) != y
        likely = np.log(np.where(y == 1, probabilities, 1 - probabilities).clip(1e-7)).sum(axis=1)
        rows = np.flatnonzero(wrong.any(axis=1))
        return [
            (int(row), "wrong: " + ", ".join(np.asarray(self.classes, dtype=object)[wrong[row]]))
            for row in rows[np.argsort(likely[rows], kind="stable")]
        ]

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Yield the ROC, precision-recall and reliability curves."""
        from dlcli.reports import classification  # a prediction needs no matplotlib

        probabilities = self._probabilities(outputs)
        yield "roc", classification.roc(y, probabilities, self.classes)
        yield "precision_recall", classification.precision_recall(y, probabilities, self.classes)
        yield "reliability", classification.reliability(y.ravel() == 1, probabilities.ravel(), "all labels")

    def _probabilities(self, outputs: Tensor) -> np.ndarray:
        return outputs.float().sigmoid().cpu().numpy()

    def _codes(self, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities > self.thresholds).astype(np.int64)

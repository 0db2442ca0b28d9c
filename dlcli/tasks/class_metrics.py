"""Metrics of classes and labels, computed from `Task.metric_inputs`; NaN if undefined."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from dlcli.tasks.decision_rates import Rate, rates
from dlcli.tasks.metric import MeanMetric, Metric, counted_over

# Number of confidence bins of the calibration error, as in Guo et al., 2017.
CALIBRATION_BINS = 15

# Number of rows that are divided into bins at once, with 15 numbers for each.
_ROWS = 1 << 16


class OneVsRest(Metric):
    """Mean of a binary ranking metric over the classes, each against the rest.

    Classes without positive or without negative rows are left out. Shapes of probabilities and targets are `(N, C)` and
    codes `(N,)`, `(N, K)` and 0 or 1 `(N, K)`, or `(N,)` and 0 or 1 `(N,)`.

    Args:
        measure: maps the numbers of true and of false positives at each distinct threshold, in descending order, to the
            value. The last pair contains the numbers of all positive and negative rows.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    shares = "rows"
    probabilities: list[Tensor]
    hits: list[Tensor]

    def __init__(self, measure: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self._measure = measure
        self.add_rows("probabilities", "hits")

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Store a batch of rows."""
        if probabilities.ndim > y.ndim:
            y = y.unsqueeze(1) == torch.arange(probabilities.shape[1], device=y.device)
        self.probabilities.append(probabilities.reshape(len(y), -1))
        self.hits.append(y.reshape(len(y), -1).bool())

    def compute(self) -> Tensor:
        """Return the mean; NaN if no class has both positive and negative rows."""
        scores, hits = torch.cat(self.probabilities), torch.cat(self.hits)
        defined = _has_both(hits).nonzero().flatten().tolist()
        values = [self._measure(*_positives(scores[:, k], hits[:, k])) for k in defined]
        return torch.stack(values).mean() if values else scores.new_tensor(torch.nan)

    def over(self) -> tuple[int, int]:
        """Return the number of classes with positive and negative rows, and that of all."""
        return counted_over(_has_both(torch.cat(self.hits)))


def _has_both(hits: Tensor) -> Tensor:
    return hits.any(dim=0) & ~hits.all(dim=0)


def _positives(scores: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of true and of false positives above each distinct score, the highest score first."""
    scores, order = scores.sort(descending=True)
    last = torch.cat([scores[1:] != scores[:-1], scores.new_ones(1, dtype=torch.bool)]).nonzero().flatten()
    true = hits[order].cumsum(dim=0)[last]
    return true.double(), (last + 1 - true).double()


def _area_under_roc(true: Tensor, false: Tensor) -> Tensor:
    start = true.new_zeros(1)
    return torch.trapezoid(torch.cat([start, true / true[-1]]), torch.cat([start, false / false[-1]]))


def _average_precision(true: Tensor, false: Tensor) -> Tensor:
    gained = true.diff(prepend=true.new_zeros(1))
    return (gained * true / (true + false)).sum() / true[-1]


def auroc() -> OneVsRest:
    """Return the metric of the area under the ROC curve."""
    return OneVsRest(_area_under_roc)


def average_precision() -> OneVsRest:
    """Return the metric of average precision, the area under the precision-recall curve."""
    return OneVsRest(_average_precision)


class LogLoss(MeanMetric):
    """Mean negative log-likelihood of the true class, in nats, independent of the training loss.

    Shapes are those of `OneVsRest`.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Add a batch of rows."""
        if probabilities.ndim > y.ndim:
            true = probabilities.gather(1, y.unsqueeze(1))
        else:
            true = torch.where(y > 0, probabilities, 1 - probabilities)
        # Clip as scikit-learn does, so that a probability of 0 has a finite cost.
        self.add(-true.clamp_min(torch.finfo(true.dtype).eps).log())


class Brier(MeanMetric):
    """Brier score (Brier, 1950): mean squared difference of the probability of a class or label from 0 or 1.

    For more than two classes it is the sum over classes, from 0 to 2. Shapes are those of `OneVsRest`.

    Args:
        task: kind of the task, `multiclass` or another one.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, task: str = "multiclass") -> None:
        super().__init__()
        self.plot_upper_bound = 2.0 if task == "multiclass" else 1.0

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Add a batch of rows."""
        if probabilities.ndim > y.ndim:
            one_hot = y.unsqueeze(1) == torch.arange(probabilities.shape[1], device=y.device)
            self.add((probabilities.double() - one_hot.double()).square().sum(dim=1))
        else:
            self.add((probabilities.double() - y.double()).square())


class CalibrationError(Metric):
    """Expected calibration error (Guo et al., 2017): mean gap between confidence and accuracy over 15 bins.

    For probabilities `(N, C)` the confidence is the highest probability, and a hit is a row of that class; otherwise it
    is the probability of the positive class or label, and a hit is a row that has it.
    """

    higher_is_better = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    confidence: Tensor
    hits: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("confidence", "hits", "rows"):
            self.add_sum(name, (CALIBRATION_BINS,))

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Add a batch of rows; shapes are those of `OneVsRest`."""
        if probabilities.ndim > y.ndim:
            confidence, predicted = probabilities.max(dim=1)
            hits = predicted == y
        else:
            confidence, hits = probabilities.flatten(), y.flatten()
        bins = torch.arange(CALIBRATION_BINS, device=confidence.device)
        for some, found in zip(confidence.split(_ROWS), hits.split(_ROWS), strict=True):
            is_in = (some * CALIBRATION_BINS).long().clamp(0, CALIBRATION_BINS - 1).unsqueeze(1) == bins
            self.confidence = self.confidence + (is_in * some.double().unsqueeze(1)).sum(dim=0)
            self.hits = self.hits + (is_in & found.bool().unsqueeze(1)).sum(dim=0)
            self.rows = self.rows + is_in.sum(dim=0)

    def compute(self) -> Tensor:
        """Return a value between 0 and 1."""
        return (self.confidence - self.hits).abs().sum() / self.rows.sum()


Average = Literal["macro", "micro", "weighted", "geometric"]


class Counts(Metric):
    """Base class of metrics of the numbers of true and false decisions of each class or label.

    Args:
        rate: the metric.
        average: averaging over classes or labels.
        columns: number of classes or labels.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    tp: Tensor
    fp: Tensor
    tn: Tensor
    fn: Tensor

    def __init__(self, rate: Rate, average: Average, columns: int) -> None:
        super().__init__()
        self._rate = rate
        self._average = average
        for name in ("tp", "fp", "tn", "fn"):
            self.add_sum(name, (columns,))

    @abstractmethod
    def decisions(self, probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted and the true decisions, booleans `(N, columns)`."""

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Add a batch of rows."""
        predicted, true = self.decisions(probabilities, y)
        tp, positive, of_class = (found.sum(dim=0) for found in (predicted & true, predicted, true))
        self.tp = self.tp + tp
        self.fp = self.fp + positive - tp
        self.fn = self.fn + of_class - tp
        self.tn = self.tn + len(y) - positive - of_class + tp

    def compute(self) -> Tensor:
        """Return a value between 0 and 1; undefined classes and labels are left out, NaN if all are undefined."""
        counts = (self.tp, self.fp, self.tn, self.fn)
        if self._average == "micro":
            return rates(self._rate, *(count.sum() for count in counts))
        values = rates(self._rate, *counts)
        if self._average == "macro":
            return values.nanmean()
        if self._average == "geometric":
            return values.log().nanmean().exp()
        weights = torch.where(values.isnan(), 0.0, self.tp + self.fn)
        return (values.nan_to_num() * weights).sum() / weights.sum()

    def over(self) -> tuple[int, int] | None:
        """Return the number of classes or labels with a value, and that of all; None for averages over rows."""
        if self._average not in ("macro", "geometric"):
            return None
        return counted_over(~rates(self._rate, self.tp, self.fp, self.tn, self.fn).isnan())


class BinaryRate(Counts):
    """A rate of the positive class: probabilities `(N,)` above the threshold, and targets 0 or 1 `(N,)`."""

    def __init__(self, rate: Rate, threshold: float = 0.5) -> None:
        super().__init__(rate, "macro", 1)
        self.shares = ("binary", threshold)
        self._threshold = threshold

    def decisions(self, probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows of the positive class `(N, 1)`."""
        return (probabilities > self._threshold).unsqueeze(1), y.bool().unsqueeze(1)


class MulticlassRate(Counts):
    """A rate averaged over classes, from probabilities `(N, C)` and codes `(N,)`.

    The `macro` average of recall is the balanced accuracy, and the `micro` average is the accuracy.
    """

    def __init__(self, rate: Rate, classes: int, average: Average) -> None:
        super().__init__(rate, average, classes)
        self.shares = ("multiclass", classes)

    def decisions(self, probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted class (of the highest probability) and the true one as indicators `(N, C)`."""
        classes = torch.arange(probabilities.shape[1], device=y.device)
        return probabilities.argmax(dim=1).unsqueeze(1) == classes, y.unsqueeze(1) == classes


class MultilabelRate(Counts):
    """A rate averaged over labels, from probabilities and targets 0 or 1, both `(N, K)`.

    Args:
        rate: the metric.
        average: averaging over labels.
        labels: number of labels.
        threshold: probability above which a label is predicted; one number or one per label.
    """

    def __init__(
        self, rate: Rate, average: Average, labels: int, threshold: float | Sequence[float] = 0.5
    ) -> None:
        super().__init__(rate, average, labels)
        self.thresholds = _as_thresholds(threshold)
        self.shares = ("multilabel", tuple(self.thresholds.tolist()))

    def decisions(self, probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted and the true labels."""
        return probabilities > self.thresholds, y.bool()


class ExactMatch(MeanMetric):
    """Share of rows with all labels correct; arguments as for `MultilabelRate`."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, threshold: float | Sequence[float] = 0.5) -> None:
        super().__init__()
        self.thresholds = _as_thresholds(threshold)

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        self.add(((probabilities > self.thresholds) == y.bool()).all(dim=1))


def _as_thresholds(threshold: float | Sequence[float]) -> Tensor:
    # Compared in the precision of the probabilities.
    return torch.as_tensor(threshold, dtype=torch.float32).reshape(-1)


def decision_rate(
    rate: Rate,
    task: str,
    num_classes: int | None = None,
    num_labels: int | None = None,
    threshold: float | Sequence[float] = 0.5,
    average: Literal["macro", "micro", "weighted"] = "macro",
) -> Counts:
    """Return the metric of a rate for a kind of task.

    The accuracy counts rows, or for labels all labels of all rows. The balanced accuracy of several classes is their
    mean recall, and their G-mean the geometric mean of their recalls (Kubat and Matwin, 1997).
    """
    if task == "binary":
        return BinaryRate(rate, float(threshold))  # type: ignore[arg-type]
    plain: Average = (
        "micro" if rate == "accuracy" else "macro" if rate in ("balanced_accuracy", "g_mean") else average
    )
    if task == "multilabel":
        return MultilabelRate(rate, plain, num_labels or 0, threshold)
    if rate in ("accuracy", "balanced_accuracy", "g_mean"):
        return MulticlassRate("recall", num_classes or 0, "geometric" if rate == "g_mean" else plain)
    return MulticlassRate(rate, num_classes or 0, plain)

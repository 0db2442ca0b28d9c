"""Metrics that torchmetrics lacks, or for which it returns a number where the metric is undefined; here that is NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryStatScores, MulticlassStatScores, MultilabelStatScores
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.utilities import dim_zero_cat

# Number of confidence bins of the calibration error, as in Guo et al., 2017.
CALIBRATION_BINS = 15

# Square of the relative rounding error of single precision.
_ROUNDING = torch.finfo(torch.float32).eps ** 2


class OneVsRest(Metric):
    """Mean of a binary ranking metric over the classes, each against the rest.

    Classes without positive or without negative rows are left out. Probabilities and targets are `(N, C)` and codes
    `(N,)`, `(N, K)` and 0 and 1 `(N, K)`, or `(N,)` and `(N,)`.
    """

    full_state_update = False
    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    probabilities: list[Tensor]
    hits: list[Tensor]

    def __init__(self, measure: Callable[..., Tensor]) -> None:
        super().__init__()
        self._measure = measure
        self.add_state("probabilities", default=[], dist_reduce_fx="cat")
        self.add_state("hits", default=[], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Store a batch of rows."""
        if probabilities.ndim > y.ndim:
            y = y.unsqueeze(1) == torch.arange(probabilities.shape[1], device=y.device)
        self.probabilities.append(probabilities.reshape(len(y), -1))
        self.hits.append(y.reshape(len(y), -1).bool())

    def compute(self) -> Tensor:
        """Return the mean; NaN if no class has both positive and negative rows."""
        scores, hits = dim_zero_cat(self.probabilities), dim_zero_cat(self.hits)
        defined = (hits.any(dim=0) & ~hits.all(dim=0)).nonzero().flatten().tolist()
        values = [self._measure(scores[:, k], hits[:, k].long(), validate_args=False) for k in defined]
        return torch.stack(values).mean() if values else scores.new_tensor(torch.nan)


def auroc() -> OneVsRest:
    """Return the metric of the area under the ROC curve."""
    return OneVsRest(binary_auroc)


def average_precision() -> OneVsRest:
    """Return the metric of average precision, the area under the precision-recall curve."""
    return OneVsRest(binary_average_precision)


class LogLoss(Metric):
    """Mean negative log-likelihood of the true class, in nats, independent of the training loss.

    Shapes are those of `OneVsRest`.
    """

    full_state_update = False
    higher_is_better = False
    plot_lower_bound = 0.0
    total: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros(()), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, y: Tensor) -> None:
        """Add a batch of rows."""
        if probabilities.ndim > y.ndim:
            true = probabilities.gather(1, y.unsqueeze(1))
        else:
            true = torch.where(y > 0, probabilities, 1 - probabilities)
        # Clip as scikit-learn does, so that a probability of 0 has a finite cost.
        self.total += -true.clamp_min(torch.finfo(true.dtype).eps).log().sum()
        self.rows += true.numel()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.rows


# Rates of decisions, from the counts of one class or label.
Rate = Literal["precision", "recall", "f1"]
Average = Literal["macro", "micro", "weighted"]


class BinaryRate(BinaryStatScores):
    """Precision, recall or f1 of the positive class; see `rates` for rows without it."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, rate: Rate, threshold: float) -> None:
        super().__init__(threshold, validate_args=False)
        self._rate = rate

    def compute(self) -> Tensor:
        """Return a value between 0 and 1, or NaN."""
        return rates(self._rate, *_counts(self))


class MulticlassRate(MulticlassStatScores):
    """Precision, recall or f1 averaged over classes; recall averaged by `macro` is the balanced accuracy."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, rate: Rate, classes: int, average: Average) -> None:
        super().__init__(classes, average="macro", validate_args=False)  # so that it counts by class
        self._rate = rate
        self._average = average

    def compute(self) -> Tensor:
        """Return a value between 0 and 1, or NaN."""
        return _averaged(self._rate, self._average, *_counts(self))


class MultilabelRate(MultilabelStatScores):
    """Precision, recall or f1 averaged over labels.

    Args:
        rate: which one.
        average: how the labels are averaged.
        options: `num_labels` and `threshold`, one number or one per label.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, rate: Rate, average: Average, **options: Any) -> None:
        super().__init__(**options, average="none")
        self._rate = rate
        self._average = average

    def compute(self) -> Tensor:
        """Return a value between 0 and 1, or NaN."""
        return _averaged(self._rate, self._average, *_counts(self))


def rates(rate: Rate, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    """Return precision, recall or f1 from counts of any shape, in double precision; NaN where it is undefined.

    Recall is undefined for a class without rows. Precision and f1 are undefined for a class that occurs neither in the
    rows nor among the predictions. Precision is 0, as in scikit-learn, if a class that occurs is never predicted. Other
    libraries return 0 in all these cases, so that a fold without positive rows lowers the mean over folds.
    """
    match rate:
        case "recall":
            return tp / (tp + fn)
        case "f1":
            return 2 * tp / (2 * tp + fp + fn)
        case "precision":
            return torch.where((tp + fp == 0) & (fn > 0), 0.0, tp / (tp + fp))


def _averaged(rate: Rate, average: Average, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    """Return the average over classes or labels; those for which the rate is undefined are left out."""
    if average == "micro":
        return rates(rate, tp.sum(), fp.sum(), tn.sum(), fn.sum())
    values = rates(rate, tp, fp, tn, fn)
    if average == "macro":
        return values.nanmean()
    weights = torch.where(values.isnan(), 0.0, tp + fn)
    return (values.nan_to_num() * weights).sum() / weights.sum()


class BalancedAccuracy(BinaryStatScores):
    """Mean recall of both classes; NaN if one of them does not occur, since the other's recall alone flatters."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def compute(self) -> Tensor:
        """Return a value between 0 and 1, or NaN."""
        return _balanced_accuracy(*_counts(self))


class MultilabelBalancedAccuracy(MultilabelStatScores):
    """Mean balanced accuracy of the labels that some rows have and others lack; needs `average="none"`."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def compute(self) -> Tensor:
        """Return a value between 0 and 1, or NaN if there is no such label."""
        return _balanced_accuracy(*_counts(self)).nanmean()


def _balanced_accuracy(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    return (tp / (tp + fn) + tn / (tn + fp)) / 2


def _counts(scores: BinaryStatScores | MulticlassStatScores | MultilabelStatScores) -> tuple[Tensor, ...]:
    return tuple(torch.as_tensor(n).double() for n in (scores.tp, scores.fp, scores.tn, scores.fn))


class R2(Metric):
    """Coefficient of determination, the mean over targets; constant targets are left out, NaN if all are.

    torchmetrics treats sums of squares below 1e-4 as 0, so its result depends on the unit, such as metres or
    kilometres.

    Args:
        around: a value near the targets' mean `(K,)`, subtracted so that the sums of squares keep their precision.
    """

    full_state_update = False
    higher_is_better = True
    plot_upper_bound = 1.0
    around: Tensor
    residual: Tensor
    total: Tensor
    squares: Tensor
    rows: Tensor

    def __init__(self, around: Tensor) -> None:
        super().__init__()
        self.register_buffer("around", around, persistent=False)
        for name in ("residual", "total", "squares"):
            # Double precision, because single precision leaves only noise for targets that hardly vary.
            self.add_state(name, default=torch.zeros_like(around, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        centred = y.double() - self.around
        self.residual += (predicted - y).double().square().sum(dim=0)
        self.total += centred.sum(dim=0)
        self.squares += centred.square().sum(dim=0)
        self.rows += len(y)

    def compute(self) -> Tensor:
        """Return a value of at most 1; predicting the mean of the same rows gives 0."""
        varies = self.squares - self.total.square() / self.rows
        # A smaller variance is rounding error: the rows have one value within single precision.
        seen = varies > _ROUNDING * self.squares
        return torch.where(seen, 1 - self.residual / varies, torch.nan).nanmean()


class MAPE(Metric):
    """Mean absolute percentage error as a share (0.1 is 10 %); meaningless for targets near 0.

    Args:
        offset: value `(K,)` that was subtracted from predictions and targets. It is added to the denominator only,
            because the difference of two large numbers would lose precision.
    """

    full_state_update = False
    higher_is_better = False
    plot_lower_bound = 0.0
    offset: Tensor
    total: Tensor
    rows: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset, persistent=False)
        self.add_state("total", default=torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        size = (y + self.offset).abs().clamp_min(torch.finfo(y.dtype).eps)
        self.total += ((predicted - y).abs() / size).sum()
        self.rows += y.numel()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.rows


class MASE(Metric):
    """Mean absolute scaled error (Hyndman and Koehler, 2006); 1 equals the naive forecast on the training part.

    The mean over targets; targets whose naive error is 0 or undefined are left out, NaN if all are.

    Args:
        naive_error: mean absolute error of the naive forecast `(K,)`, in the unit of the predictions.
    """

    full_state_update = False
    higher_is_better = False
    plot_lower_bound = 0.0
    naive_error: Tensor
    total: Tensor
    rows: Tensor

    def __init__(self, naive_error: Tensor) -> None:
        super().__init__()
        self.register_buffer("naive_error", naive_error, persistent=False)
        self.add_state("total", default=torch.zeros_like(naive_error), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        self.total += (predicted - y).abs().sum(dim=0)
        self.rows += len(y)

    def compute(self) -> Tensor:
        """Return the mean."""
        scaled = self.total / self.rows / self.naive_error
        return torch.where(self.naive_error > 0, scaled, torch.nan).nanmean()

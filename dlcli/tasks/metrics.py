"""Metrics that torchmetrics lacks, or for which it returns a number where the metric is undefined; here that is NaN."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryStatScores, MultilabelStatScores
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


class BalancedAccuracy(BinaryStatScores):
    """Mean recall of both classes; a class that does not occur is left out."""

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return a value between 0 and 1."""
        return _balanced_accuracy(self)


class MultilabelBalancedAccuracy(MultilabelStatScores):
    """Mean over labels of the balanced accuracy of each label; needs `average="none"`."""

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return a value between 0 and 1."""
        return _balanced_accuracy(self)


def _balanced_accuracy(counts: BinaryStatScores | MultilabelStatScores) -> Tensor:
    tp, fp, tn, fn = (torch.as_tensor(n).double() for n in (counts.tp, counts.fp, counts.tn, counts.fn))
    return torch.stack([tp / (tp + fn), tn / (tn + fp)]).nanmean(dim=0).nanmean()


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

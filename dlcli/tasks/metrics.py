"""Metrics that torchmetrics lacks, or answers where nothing can be said: ours are NaN there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryStatScores, MultilabelStatScores
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.utilities import dim_zero_cat

# Confidences are sorted into so many bins to measure the calibration error (Guo et al., 2017, use 15).
CALIBRATION_BINS = 15

# The square of single precision's rounding of a number, as a share of the number's own square.
_ROUNDING = torch.finfo(torch.float32).eps ** 2


class OneVsRest(Metric):
    """How a measure ranks each class against the rest, averaged over the classes of which there are hits and misses.

    Probabilities are `(N, C)` beside codes `(N,)`, `(N, K)` beside 0 and 1 `(N, K)`, or `(N,)` beside `(N,)`.
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
        """Keep some rows."""
        if probabilities.ndim > y.ndim:
            y = y.unsqueeze(1) == torch.arange(probabilities.shape[1], device=y.device)
        self.probabilities.append(probabilities.reshape(len(y), -1))
        self.hits.append(y.reshape(len(y), -1).bool())

    def compute(self) -> Tensor:
        """The mean; NaN where no class has both."""
        scores, hits = dim_zero_cat(self.probabilities), dim_zero_cat(self.hits)
        defined = (hits.any(dim=0) & ~hits.all(dim=0)).nonzero().flatten().tolist()
        values = [self._measure(scores[:, k], hits[:, k].long(), validate_args=False) for k in defined]
        return torch.stack(values).mean() if values else scores.new_tensor(torch.nan)


def auroc() -> OneVsRest:
    """Area under the ROC curve."""
    return OneVsRest(binary_auroc)


def average_precision() -> OneVsRest:
    """Average precision, the area under the precision-recall curve."""
    return OneVsRest(binary_average_precision)


class LogLoss(Metric):
    """Mean negative log-likelihood of what is true, in nats, whatever loss was trained; shapes as in `OneVsRest`."""

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
        """Add some rows."""
        if probabilities.ndim > y.ndim:
            true = probabilities.gather(1, y.unsqueeze(1))
        else:
            true = torch.where(y > 0, probabilities, 1 - probabilities)
        # As scikit-learn does: what was held impossible costs as much as floats can tell.
        self.total += -true.clamp_min(torch.finfo(true.dtype).eps).log().sum()
        self.rows += true.numel()

    def compute(self) -> Tensor:
        """The mean."""
        return self.total / self.rows


class BalancedAccuracy(BinaryStatScores):
    """The mean of both classes' recall, of those that occur."""

    higher_is_better = True

    def compute(self) -> Tensor:
        """Between 0 and 1."""
        return _balanced_accuracy(self)


class MultilabelBalancedAccuracy(MultilabelStatScores):
    """The same of each label (with `average="none"`), and of those the mean."""

    higher_is_better = True

    def compute(self) -> Tensor:
        """Between 0 and 1."""
        return _balanced_accuracy(self)


def _balanced_accuracy(counts: BinaryStatScores | MultilabelStatScores) -> Tensor:
    tp, fp, tn, fn = (torch.as_tensor(n).double() for n in (counts.tp, counts.fp, counts.tn, counts.fn))
    return torch.stack([tp / (tp + fn), tn / (tn + fp)]).nanmean(dim=0).nanmean()


class R2(Metric):
    """Share of the targets' variance that is explained, the mean over targets; NaN where a target never varies.

    torchmetrics takes sums of squares below 1e-4 for 0, which depends on the unit: metres or kilometres.

    Args:
        around: a value near the targets' mean `(K,)`, so that the sums of squares keep their precision.
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
            # In double precision: of targets that hardly vary, single precision leaves noise.
            self.add_state(name, default=torch.zeros_like(around, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add some rows `(N, K)`."""
        centred = y.double() - self.around
        self.residual += (predicted - y).double().square().sum(dim=0)
        self.total += centred.sum(dim=0)
        self.squares += centred.square().sum(dim=0)
        self.rows += len(y)

    def compute(self) -> Tensor:
        """At most 1; 0 for the mean of these very rows."""
        varies = self.squares - self.total.square() / self.rows
        # What is less than that is rounding: the rows have one value, as far as single precision can tell.
        seen = varies > _ROUNDING * self.squares
        return torch.where(seen, 1 - self.residual / varies, torch.nan).nanmean()


class MAPE(Metric):
    """Mean absolute error as a share of the target (0.1 is 10 %); meaningless for targets near 0.

    Args:
        offset: what was taken off predictions and targets `(K,)`: added to the targets alone, lest the difference of
            two large numbers lose its precision.
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
        """Add some rows `(N, K)`."""
        size = (y + self.offset).abs().clamp_min(torch.finfo(y.dtype).eps)
        self.total += ((predicted - y).abs() / size).sum()
        self.rows += y.numel()

    def compute(self) -> Tensor:
        """The mean."""
        return self.total / self.rows


class MASE(Metric):
    """Mean absolute scaled error (Hyndman and Koehler, 2006): 1 is as good as a naive forecast of the training part.

    The mean over targets; NaN where the naive forecast of a target was never wrong, or never made.

    Args:
        naive_error: mean absolute error of that forecast `(K,)`, in the unit of what is judged.
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
        """Add some rows `(N, K)`."""
        self.total += (predicted - y).abs().sum(dim=0)
        self.rows += len(y)

    def compute(self) -> Tensor:
        """The mean."""
        scaled = self.total / self.rows / self.naive_error
        return torch.where(self.naive_error > 0, scaled, torch.nan).nanmean()

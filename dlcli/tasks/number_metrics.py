"""Metrics of numbers, computed from `Task.metric_inputs`; NaN if undefined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlcli.tasks.metric import MeanMetric, Metric, counted_over

# Square of the relative rounding error of single precision.
_ROUNDING = torch.finfo(torch.float32).eps ** 2


class AbsoluteError(MeanMetric):
    """Mean absolute error of predictions and targets `(N, K)`, over rows and targets."""

    takes = "centered"
    higher_is_better = False
    plot_lower_bound = 0.0

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        self.add((predicted - y).abs())


class SquaredError(Metric):
    """Mean squared error `(K,)` of predictions and targets `(N, K)`, or its root.

    Args:
        num_outputs: number of targets, K.
        root: whether to return the root of each target's error.
    """

    takes = "centered"
    higher_is_better = False
    plot_lower_bound = 0.0
    total: Tensor
    rows: Tensor

    def __init__(self, num_outputs: int, *, root: bool = False) -> None:
        super().__init__()
        self._root = root
        self.shares = "squares"
        self.add_sum("total", (num_outputs,))
        self.add_sum("rows")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        self.total = self.total + (predicted - y).double().square().sum(dim=0)
        self.rows = self.rows + len(y)

    def compute(self) -> Tensor:
        """Return the error of each target."""
        mean = self.total / self.rows
        return mean.sqrt() if self._root else mean


class SquaredLogError(SquaredError):
    """Mean squared error `(K,)` of the logarithms of 1 plus the values, or its root; NaN for values of -1 or less."""

    takes = "values"

    def __init__(self, num_outputs: int, *, root: bool = False) -> None:
        super().__init__(num_outputs, root=root)
        self.shares = "squared logarithms"

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`, or `(N,)` for one target."""
        columns = len(self.total)
        super().update(predicted.reshape(-1, columns).log1p(), y.reshape(-1, columns).log1p())


class R2(Metric):
    """Coefficient of determination, the mean over targets; constant targets are left out, NaN if all are.

    torchmetrics treats sums of squares below 1e-4 as 0, so its result depends on the unit, such as metres or
    kilometres.

    Args:
        around: a value near the targets' mean `(K,)`, subtracted so that the sums of squares keep their precision.
    """

    takes = "centered"
    undefined = ("constant_target",)
    higher_is_better = True
    plot_upper_bound = 1.0
    around: Tensor
    residual: Tensor
    total: Tensor
    squares: Tensor
    rows: Tensor

    def __init__(self, around: Tensor) -> None:
        super().__init__()
        self.around = around
        for name in ("residual", "total", "squares"):
            self.add_sum(name, tuple(around.shape))
        self.add_sum("rows")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        centred = y.double() - self.around
        self.residual = self.residual + (predicted - y).double().square().sum(dim=0)
        self.total = self.total + centred.sum(dim=0)
        self.squares = self.squares + centred.square().sum(dim=0)
        self.rows = self.rows + len(y)

    def compute(self) -> Tensor:
        """Return a value of at most 1; predicting the mean of the same rows gives 0."""
        return self._each().nanmean()

    def over(self) -> tuple[int, int]:
        """Return the number of targets that vary, and that of all."""
        return counted_over(~self._each().isnan())

    def _each(self) -> Tensor:
        varies = self.squares - self.total.square() / self.rows
        # A smaller variance is rounding error: the rows have one value within single precision.
        seen = varies > _ROUNDING * self.squares
        return torch.where(seen, 1 - self.residual / varies, torch.nan)


class MAPE(MeanMetric):
    """Mean absolute percentage error as a share (0.1 is 10 %); meaningless for targets near 0.

    Args:
        offset: value `(K,)` that was subtracted from predictions and targets. It is added to the denominator only,
            because the difference of two large numbers would lose precision.
    """

    takes = "centered"
    higher_is_better = False
    plot_lower_bound = 0.0
    offset: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.offset = offset.float()

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        size = (y + self.offset).abs().clamp_min(torch.finfo(y.dtype).eps)
        self.add((predicted - y).abs() / size)


class SMAPE(MeanMetric):
    """Symmetric mean absolute percentage error, `200 |y - f| / (|y| + |f|)`, from 0 to 200 (Makridakis and Hibon, The
    M3-Competition, 2000).

    Args:
        offset: value `(K,)` that was subtracted from predictions and targets.
    """

    takes = "centered"
    higher_is_better = False
    plot_lower_bound = 0.0
    plot_upper_bound = 200.0
    offset: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.offset = offset

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        size = (y.double() + self.offset).abs() + (predicted.double() + self.offset).abs()
        error = (predicted - y).abs()
        self.add(torch.where(size > 0, 200 * error / size, 0.0))


def scaled_errors(error: Tensor, naive_error: Tensor) -> Tensor:
    """Return absolute errors divided by a naive error (shapes are broadcast); NaN if the latter is 0 or NaN."""
    return torch.where(naive_error > 0, error.abs() / naive_error, torch.nan)


class MASEBySeries(MeanMetric):
    """Mean absolute scaled error of many series: the mean over rows, each scaled by the naive error of its own past.

    This is the definition used in forecasting competitions (Hyndman and Koehler, 2006). Rows with a naive error of 0,
    or without one, are left out, and told.
    """

    takes = "centered"
    higher_is_better = False
    plot_lower_bound = 0.0
    left_out: Tensor
    remarks: Sequence[str] = ()  # of the last `compute`

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("left_out")

    def update(self, predicted: Tensor, y: Tensor, naive_error: Tensor) -> None:  # type: ignore[override]
        """Add a batch of rows `(N, K)`; `naive_error` is that of each row, `(N, K)`."""
        self.add(scaled_errors(predicted - y, naive_error)[naive_error > 0])
        self.left_out = self.left_out + (~(naive_error > 0)).sum()

    def compute(self) -> Tensor:
        """Return the mean."""
        share = float(self.left_out / (self.left_out + self.number))
        self.remarks = ()
        if self.left_out:
            said = "are left out, because their series have no naive error before them, such as constant ones"
            self.remarks = (f"{int(self.left_out):,} forecast values ({share:.1%}) {said}",)
        return super().compute()


def mase(naive_error: Tensor, several_series: bool) -> MASE | MASEBySeries:
    """Return the mean absolute scaled error of one series, or of several."""
    return MASEBySeries() if several_series else MASE(naive_error)


class MASE(Metric):
    """Mean absolute scaled error (Hyndman and Koehler, 2006); 1 equals the naive forecast on the training part.

    The mean over targets; targets whose naive error is 0 or undefined are left out, NaN if all are.

    Args:
        naive_error: mean absolute error of the naive forecast `(K,)`, in the unit of the predictions.
    """

    takes = "centered"
    higher_is_better = False
    plot_lower_bound = 0.0
    naive_error: Tensor
    total: Tensor
    rows: Tensor

    def __init__(self, naive_error: Tensor) -> None:
        super().__init__()
        self.naive_error = naive_error
        self.add_sum("total", tuple(naive_error.shape))
        self.add_sum("rows")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows `(N, K)`."""
        self.total = self.total + (predicted - y).abs().double().sum(dim=0)
        self.rows = self.rows + len(y)

    def compute(self) -> Tensor:
        """Return the mean."""
        scaled = self.total / self.rows / self.naive_error
        return torch.where(self.naive_error > 0, scaled, torch.nan).nanmean()

    def over(self) -> tuple[int, int]:
        """Return the number of targets with a naive error above 0, and that of all."""
        return counted_over(self.naive_error > 0)


def scale_and_shift(
    own_scale: np.ndarray, own_center: np.ndarray, scale: np.ndarray, center: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return factors and offsets `(K, 1)` that convert values of one scale and center `(K,)` to those of another."""
    found = own_scale / scale, (own_center - center) / scale
    factor, offset = (torch.tensor(values[:, None], dtype=torch.float32) for values in found)
    return factor, offset

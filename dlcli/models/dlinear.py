"""Forecasting of trend and remainder (Zeng et al., Are Transformers Effective for Time Series Forecasting?, 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models.forecasting import Window
from dlcli.models.layers import Size
from dlcli.models.linear_forecast import LinearForecast


class DLinear(nn.Module):
    """Linear model of the moving average and the remainder of each target's history.

    Other columns are ignored. The model can represent the same functions as `linear_forecast`, but its parametrization
    favours smooth weights.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: outputs per row: horizon times targets times quantiles.
        lookback: number of history steps in a row; given by datasets that are series.
        horizon: number of steps to forecast; given by datasets that are series.
        targets: number of targets in a row; by default there is one output per step and target.
        shared: use one set of weights for all targets; else one per target.
        kernel_size: number of steps of the moving average; at the ends the first or last value is repeated.

    Raises:
        ValueError: the rows are not windows of a series.
    """

    accepts: ClassVar = {"sequence"}
    takes_variables: ClassVar = True
    search_space: ClassVar = {
        "shared": "true,false",
        "kernel_size": "13,25,49",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        targets: int | None = None,
        shared: bool = True,
        kernel_size: Size = 25,
    ) -> None:
        super().__init__()
        window = Window.of(input_shape, num_outputs, lookback, horizon, targets)
        self.lookback = window.lookback
        self.targets = window.targets
        before = (kernel_size - 1) // 2
        self.padding = (before, kernel_size - 1 - before)
        self.kernel_size = kernel_size
        self.trend, self.remainder = (
            LinearForecast(input_shape, num_outputs, lookback, horizon, targets, shared) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, T, F)` to `(N, horizon * K * Q)`, step by step."""
        past = x[:, : self.lookback, : self.targets].transpose(1, 2)
        before, after = self.padding
        ends = [past[..., :1].expand(-1, -1, before), past, past[..., -1:].expand(-1, -1, after)]
        trend = functional.avg_pool1d(torch.cat(ends, dim=2), self.kernel_size, stride=1)
        return self.trend(trend.transpose(1, 2)) + self.remainder((past - trend).transpose(1, 2))

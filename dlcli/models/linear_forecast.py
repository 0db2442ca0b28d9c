"""A linear forecast (Zeng et al., Are Transformers Effective for Time Series Forecasting?, 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class LinearForecast(nn.Module):
    """Each target's next steps as weighted sums of its own last ones; the other columns are not looked at.

    Behind `preprocessing.relative` it is the paper's NLinear.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: horizon times targets.
        lookback: steps of the row that are history; a series says so.
        horizon: steps to forecast; likewise.
        shared: one set of weights for all targets; else each has its own.

    Raises:
        ValueError: the rows are no windows of a series.
    """

    accepts: ClassVar = {"sequence"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        shared: bool = True,
    ) -> None:
        super().__init__()
        if lookback is None or horizon is None:
            raise ValueError("it forecasts a series (dataset=series); for other data choose another model")
        self.lookback = lookback
        self.targets = num_outputs // horizon
        sets = 1 if shared else self.targets
        # As the paper's code begins: the mean of the lookback.
        self.weight = nn.Parameter(torch.full((sets, lookback, horizon), 1 / lookback))
        self.bias = nn.Parameter(torch.zeros(sets, 1, horizon))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, horizon * K)`, step by step."""
        past = x[:, : self.lookback, : self.targets].permute(2, 0, 1)  # a variable's rows side by side
        ahead = past @ self.weight + self.bias
        return ahead.permute(1, 2, 0).flatten(1)

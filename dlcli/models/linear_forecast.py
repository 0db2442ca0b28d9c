"""Linear forecasting model (Zeng et al., Are Transformers Effective for Time Series Forecasting?, 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.models.forecasting import Window


class LinearForecast(nn.Module):
    """Linear forecast of each target from its own history; other columns are ignored.

    With windows relative to their last values (`preprocessing.relative=last`, the default) it is the paper's NLinear,
    with `none` its Linear.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: horizon times number of targets.
        lookback: number of history steps in a row; given by datasets that are series.
        horizon: number of steps to forecast; given by datasets that are series.
        targets: number of targets; by default there is one output per step and target.
        shared: use one set of weights for all targets; else one per target.

    Raises:
        ValueError: the rows are not windows of a series.
    """

    accepts: ClassVar = {"sequence"}
    takes_variables: ClassVar = True
    is_linear: ClassVar = True  # required by optimizers that use all rows in each step
    search_space: ClassVar = {
        "shared": "true,false",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        targets: int | None = None,
        shared: bool = True,
    ) -> None:
        super().__init__()
        window = Window.of(input_shape, num_outputs, lookback, horizon, targets)
        self.lookback = window.lookback
        self.horizon = window.horizon
        self.targets = window.targets
        outputs = window.horizon * window.outputs
        sets = 1 if shared else self.targets
        # Initialize to the mean of the lookback, as in the paper's code.
        self.weight = nn.Parameter(torch.full((sets, window.lookback, outputs), 1 / window.lookback))
        self.bias = nn.Parameter(torch.zeros(sets, 1, outputs))

    def linear_inputs(self, x: Tensor) -> Tensor:
        """Return each target's history `(N * K, lookback)`, or `(N, K, lookback)` for one set of weights per target."""
        past = x[:, : self.lookback, : self.targets].transpose(1, 2)
        return past.flatten(0, 1) if len(self.weight) == 1 else past

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, T, F)` to `(N, horizon * K * Q)`, step by step."""
        past = x[:, : self.lookback, : self.targets].permute(
            2, 0, 1
        )  # (K, N, lookback), for a batched matmul
        ahead = past @ self.weight + self.bias
        return ahead.unflatten(2, (self.horizon, -1)).permute(1, 2, 0, 3).flatten(1)

"""N-HiTS: blocks of different resolution (Challu et al., Neural Hierarchical Interpolation for Forecasting, 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.forecasting import Window, interpolation
from dlcli.models.layers import Activation, Depth, Share, Size, per_layer

Sizes = Annotated[Sequence[Size], MinLen(1)]


class NHiTS(nn.Module):
    """Blocks that each model a part of the window at their own resolution; their forecasts are summed.

    The input of a block is the residual of earlier blocks, max-pooled over `pool` steps. Its outputs are points of the
    history and of the forecast, which are interpolated (sections 3.2 and 3.3). Columns that are not forecast are inputs
    of every block.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: outputs per row: horizon times targets times quantiles.
        lookback: number of history steps in a row; given by datasets that are series.
        horizon: number of steps to forecast; given by datasets that are series.
        targets: number of targets in a row; by default there is one output per step and target.
        pool: number of steps of each block's pooling; the length is the number of blocks.
        spacing: number of steps between points of the forecast, for all blocks or for each.
        hidden: number of units of the layers of each block.
        layers: number of layers of each block.
        activation: activation function of the layers.
        dropout: dropout rate after each layer.

    Raises:
        ValueError: the rows are not windows of a series. Or `spacing` and `pool` differ in length.
    """

    accepts: ClassVar = {"sequence"}
    search_space: ClassVar = {
        "hidden": "128,256,512",
        "layers": "1,2,3",
        "dropout": "interval(0,0.4)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        targets: int | None = None,
        pool: Sizes = (8, 4, 1),
        spacing: Size | Sizes = (24, 12, 1),
        hidden: Size = 256,
        layers: Depth = 2,
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        self.window = Window.of(input_shape, num_outputs, lookback, horizon, targets)
        apart = per_layer(spacing, len(pool), "spacing")
        others = input_shape[0] * (self.window.features - self.window.targets)
        self.blocks = nn.ModuleList(
            _Block(
                self.window,
                others,
                size,
                steps,
                hidden,
                layers,
                activation,
                dropout,
                last=number == len(pool),
            )
            for number, (size, steps) in enumerate(zip(pool, apart, strict=True), start=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, T, F)` to `(N, horizon * K * Q)`, step by step."""
        rest = x[:, : self.window.lookback, : self.window.targets].transpose(1, 2)
        others = x[:, :, self.window.targets :].flatten(1)
        total = torch.zeros((), device=x.device)
        for block in self.blocks:
            history, forecast = block(rest, others)
            total = total + forecast
            rest = rest - history if history is not None else rest
        return self.window.by_step(total)


class _Block(nn.Module):
    """One block; the last one returns no history, because no block follows."""

    past: Tensor | None
    ahead: Tensor | None

    def __init__(
        self,
        window: Window,
        others: int,
        pool: int,
        spacing: int,
        hidden: int,
        layers: int,
        activation: Activation,
        dropout: float,
        *,
        last: bool,
    ) -> None:
        super().__init__()
        self.targets, self.outputs = window.targets, window.outputs
        self.pool = nn.MaxPool1d(pool, ceil_mode=True)
        inputs = -(-window.lookback // pool) * window.targets + others
        blocks: list[nn.Module] = []
        for _ in range(layers):
            blocks += [nn.Linear(inputs, hidden), shared.activation(activation), *shared.dropout(dropout)]
            inputs = hidden
        self.layers = nn.Sequential(*blocks)
        points = [max(1, steps // spacing) for steps in (window.lookback, window.horizon)]
        past = None if last else interpolation(points[0], window.lookback)
        self.register_buffer("past", past, persistent=False)
        self.register_buffer("ahead", interpolation(points[1], window.horizon), persistent=False)
        self.history = None if last else nn.Linear(hidden, window.targets * points[0])
        self.forecast = nn.Linear(hidden, window.targets * window.outputs * points[1])

    def forward(self, rest: Tensor, others: Tensor) -> tuple[Tensor | None, Tensor]:
        """Map the residual `(N, K, lookback)` to its reconstruction and a forecast `(N, K, horizon * Q)`."""
        states = self.layers(torch.cat([self.pool(rest).flatten(1), others], dim=1))
        points = self.forecast(states).reshape(states.shape[0], self.targets, self.outputs, -1)
        forecast = _interpolated(points, self.ahead).transpose(2, 3).flatten(2)
        if self.history is None:
            return None, forecast
        explained = self.history(states).reshape(states.shape[0], self.targets, -1)
        return _interpolated(explained, self.past), forecast


def _interpolated(points: Tensor, matrix: Tensor | None) -> Tensor:
    return points if matrix is None else points @ matrix

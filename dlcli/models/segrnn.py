"""SegRNN: a recurrent network over segments (Lin et al., Segment Recurrent Neural Network, 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.forecasting import Window
from dlcli.models.layers import Share, Size


class SegRNN(nn.Module):
    """GRU over the segments of a window, and a parallel forecast of all later segments from its last state.

    The input of each later segment is an embedding of its position (parallel multi-step forecasting, section 3.3), plus
    columns that are known ahead. The paper's embedding of the variable is omitted, so that the model can forecast
    unseen variables.

    Args:
        input_shape: steps and features of one row `(T, F)`, the targets first.
        num_outputs: outputs per row: horizon times targets times quantiles.
        lookback: number of history steps in a row; given by datasets that are series.
        horizon: number of steps to forecast; given by datasets that are series.
        targets: number of targets in a row; by default there is one output per step and target.
        segment: number of steps of a segment. The first values are repeated to fill the first one.
        hidden: number of units of the GRU.
        dropout: dropout rate before the output.

    Raises:
        ValueError: the rows are not windows of a series.
    """

    accepts: ClassVar = {"sequence"}
    search_space: ClassVar = {
        "hidden": "64,128,256",
        "dropout": "interval(0,0.6)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None = None,
        horizon: int | None = None,
        targets: int | None = None,
        segment: Size = 24,
        hidden: Size = 128,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        window = Window.of(input_shape, num_outputs, lookback, horizon, targets)
        self.lookback, self.horizon = window.lookback, window.horizon
        self.segment = min(segment, window.lookback)
        self.later = -(-window.horizon // self.segment)
        inputs = self.segment * window.features
        self.embed = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.positions = nn.Parameter(torch.randn(self.later, hidden) * 0.02)
        self.ahead = nn.Linear(inputs, hidden, bias=False) if window.ahead else None
        per_step = num_outputs // window.horizon
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(hidden, self.segment * per_step))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, T, F)` to `(N, horizon * K * Q)`, step by step."""
        past = x[:, : self.lookback]
        _, last = self.gru(self.embed(self._segments(past, before=True)))
        starts = self.positions.expand(x.shape[0], -1, -1)
        if self.ahead is not None:
            starts = starts + self.ahead(self._segments(x[:, self.lookback :], before=False))
        # One step of the GRU from the last state, for each later segment.
        state = last.repeat_interleave(self.later, dim=1)
        states, _ = self.gru(starts.flatten(0, 1).unsqueeze(1), state)
        steps = self.head(states).reshape(x.shape[0], self.later * self.segment, -1)
        return steps[:, : self.horizon].flatten(1)

    def _segments(self, x: Tensor, *, before: bool) -> Tensor:
        """Return steps `(N, T, F)` as segments `(N, S, segment * F)`, padded before or after them."""
        if missing := -x.shape[1] % self.segment:
            edge = (x[:, :1] if before else x[:, -1:]).expand(-1, missing, -1)
            x = torch.cat([edge, x] if before else [x, edge], dim=1)
        return x.unflatten(1, (-1, self.segment)).flatten(2)

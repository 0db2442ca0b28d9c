"""Recurrent networks: plain (Elman, 1990), LSTM (Hochreiter and Schmidhuber, 1997), GRU (Cho et al., 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.initialization import Initialization, initialize
from dlcli.models.layers import Share, Size
from dlcli.models.pooling import Pooling, SequencePooling

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """Recurrent layers, one vector made of their states, and a linear output; images are read as sequences of rows.

    Args:
        input_shape: steps and features `(T, F)`, or an image `(C, H, W)`.
        num_outputs: logits or values per sequence.
        cell: the kind of layer: `rnn` (tanh), `lstm` or `gru`.
        hidden: units of each layer and direction.
        layers: number of stacked layers.
        bidirectional: also read backwards; both directions' states are joined.
        pooling: `last` takes the state after the whole sequence (in each direction); `mean`, `max` and `attention`
            take all states into account.
        dropout: share dropped between the layers and before the output.
        initialization: how the weights are drawn.
    """

    accepts: ClassVar = {"sequence", "image"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cell: Literal["rnn", "lstm", "gru"] = "lstm",
        hidden: Size = 128,
        layers: Size = 1,
        bidirectional: bool = False,
        pooling: Pooling = "last",
        dropout: Share = 0.0,
        initialization: Initialization = "default",
    ) -> None:
        super().__init__()
        _, features = shared.sequence_shape(input_shape)
        self.layers = _CELLS[cell](
            features,
            hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            # torch warns of dropout in a single layer, where there is nothing in between.
            dropout=dropout if layers > 1 else 0.0,
            batch_first=True,
        )
        states = 2 * hidden if bidirectional else hidden
        # The backward direction ends at the first step: its last state is not that of the last step.
        self.pool = None if pooling == "last" else SequencePooling(pooling, states)
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(states, num_outputs))
        initialize(self, initialization)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, T, F)` or `(N, C, H, W)` to `(N, num_outputs)`."""
        states, last = self.layers(shared.as_sequence(x))
        if self.pool is not None:
            return self.head(self.pool(states))
        # An LSTM gives its cells' states too.
        last = last[0] if isinstance(last, tuple) else last
        return self.head(torch.cat([last[-2], last[-1]], dim=1) if self.layers.bidirectional else last[-1])

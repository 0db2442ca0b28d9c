"""Long short-term memory network (Hochreiter and Schmidhuber, 1997)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from dlcli.models import layers as shared


class LSTM(nn.Module):
    """LSTM layers and a linear output on the last state; images are read as sequences of rows.

    Args:
        input_shape: steps and features `(T, F)`, or an image `(C, H, W)`.
        num_outputs: logits or values per sequence.
        hidden: units of each layer and direction.
        layers: number of stacked layers.
        bidirectional: also read backwards; both directions' last states are joined.
        dropout: share dropped between the layers and before the output.
    """

    accepts: ClassVar = {"sequence", "image"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        hidden: Annotated[int, Ge(1)] = 128,
        layers: Annotated[int, Ge(1)] = 1,
        bidirectional: bool = False,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        _, features = shared.sequence_shape(input_shape)
        self.lstm = nn.LSTM(
            features,
            hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            # torch warns of dropout in a single layer, where there is nothing in between.
            dropout=dropout if layers > 1 else 0.0,
            batch_first=True,
        )
        directions = 2 if bidirectional else 1
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(directions * hidden, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, T, F)` or `(N, C, H, W)` to `(N, num_outputs)`."""
        _, (state, _) = self.lstm(shared.as_sequence(x))
        last = torch.cat([state[-2], state[-1]], dim=1) if self.lstm.bidirectional else state[-1]
        return self.head(last)

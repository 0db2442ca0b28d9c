"""Multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Activation

Size = Annotated[int, Ge(1)]


class MLP(nn.Module):
    """Dense hidden layers, each with activation and dropout, and a linear output.

    Args:
        input_shape: shape of one row; anything of a fixed size is flattened.
        num_outputs: logits or values per row.
        hidden: units of each hidden layer; a list gives each layer its own and sets their number.
        layers: number of hidden layers, where `hidden` is one number.
        activation: the non-linearity.
        dropout: share of units dropped after each hidden layer.
    """

    accepts: ClassVar = {"table", "image", "sequence"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        hidden: Size | Annotated[Sequence[Size], MinLen(1)] = 128,
        layers: Size = 2,
        activation: Activation = "relu",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        sizes = [math.prod(input_shape), *([hidden] * layers if isinstance(hidden, int) else hidden)]
        blocks: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(sizes):
            blocks += [nn.Linear(inputs, outputs), shared.activation(activation), *shared.dropout(dropout)]
        self.layers = nn.Sequential(*blocks, nn.Linear(sizes[-1], num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, *input_shape)` to `(N, num_outputs)`."""
        return self.layers(x)

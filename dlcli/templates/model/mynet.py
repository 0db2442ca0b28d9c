"""MyNet: a model of our own."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt
from torch import Tensor, nn


class MyNet(nn.Module):
    """A hidden layer and a linear output. Change what you like; the keys of the YAML are the arguments below.

    Args:
        input_shape: shape of one row; dlcli passes it, the data decides.
        num_outputs: outputs for each row; dlcli passes it too.
        hidden: units of the hidden layer.
        dropout: share of units dropped in training.
    """

    # Kinds of data that forward can take: table (N, F), image (N, C, H, W), sequence (N, T, F), tokens (N, T).
    accepts: ClassVar = {"table", "image", "sequence"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        hidden: Annotated[int, Ge(1)] = 64,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(input_shape), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(N, *input_shape)` to `(N, num_outputs)`: no softmax, the loss has it."""
        return self.layers(x)

"""MyNet: a custom model."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt
from torch import Tensor, nn


class MyNet(nn.Module):
    """A hidden layer and a linear output layer. The arguments are the keys of the YAML file; change them as needed.

    Args:
        input_shape: Shape of one row; dlcli takes it from the data.
        num_outputs: Number of outputs per row; dlcli takes it from the data.
        hidden: Number of units of the hidden layer.
        dropout: Dropout probability.
    """

    # Kinds of data that forward accepts: table (N, F), image (N, C, H, W), sequence (N, T, F), tokens (N, T).
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
        """Map `(N, *input_shape)` to `(N, num_outputs)`, without a softmax, which is part of the loss."""
        return self.layers(x)

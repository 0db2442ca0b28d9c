"""The linear model: the baseline that every network has to beat."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn


class Linear(nn.Module):
    """One linear layer on the flattened row: logistic regression with cross-entropy, linear regression with MSE.

    Args:
        input_shape: shape of one row; anything of a fixed size is flattened.
        num_outputs: logits or values per row.
    """

    accepts: ClassVar = {"table", "image", "sequence"}

    def __init__(self, input_shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, *input_shape)` to `(N, num_outputs)`."""
        return self.layers(x)

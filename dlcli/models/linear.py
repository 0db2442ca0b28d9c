"""The linear model: the baseline that every network has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from dlcli.models.categories import CategoryVectors


class Linear(nn.Module):
    """One linear layer on the flattened row: logistic regression with cross-entropy, linear regression with MSE.

    Args:
        input_shape: shape of one row; anything of a fixed size is flattened.
        num_outputs: logits or values per row.
        cardinalities: codes of each column of categories, which get a learned vector each.
    """

    accepts: ClassVar = {"table", "image", "sequence"}

    def __init__(
        self, input_shape: tuple[int, ...], num_outputs: int, cardinalities: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.categories = CategoryVectors(cardinalities) if cardinalities else None
        inputs = math.prod(input_shape) + (self.categories.width if self.categories else 0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, num_outputs))

    def forward(self, x: Tensor, x_cat: Tensor | None = None) -> Tensor:
        """`(N, *input_shape)`, and codes `(N, K)` where there are categories, to `(N, num_outputs)`."""
        if self.categories is not None and x_cat is not None:
            x = self.categories(x, x_cat)
        return self.layers(x)

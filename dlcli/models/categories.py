"""A learned vector for each category of a table's columns, beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def width_of(cardinality: int) -> int:
    """Size of the vectors of a column with so many codes: `min(50, 1.6 n^0.56)`, fastai's rule of thumb for tables."""
    return max(1, min(50, round(1.6 * cardinality**0.56)))


class CategoryVectors(nn.Module):
    """Numbers `(N, F)` and codes `(N, K)` to `(N, F + width)`.

    Code 0, a category that was never seen in training, has the vector 0.

    Args:
        cardinalities: how many codes each of the K columns has.

    Attributes:
        width: how many numbers stand for a row's categories.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        sizes = [width_of(codes) for codes in cardinalities]
        self.width = sum(sizes)
        self.columns = nn.ModuleList(
            nn.Embedding(codes, size, padding_idx=0) for codes, size in zip(cardinalities, sizes, strict=True)
        )

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """The numbers, then each column's vector."""
        vectors = [column(x_cat[:, number]) for number, column in enumerate(self.columns)]
        return torch.cat([x, *vectors], dim=1)

"""Embeddings of a table's categorical columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def width_of(cardinality: int) -> int:
    """Return the embedding size of a column with n codes: `min(50, 1.6 n^0.56)`, fastai's rule of thumb for tables."""
    return max(1, min(50, round(1.6 * cardinality**0.56)))


class CategoryVectors(nn.Module):
    """Appends embeddings of the codes `(N, K)` to the numbers `(N, F)`, giving `(N, F + width)`.

    Code 0 stands for categories unseen in training; its embedding is 0.

    Args:
        cardinalities: number of codes of each of the K columns.

    Attributes:
        width: total size of a row's embeddings.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        sizes = [width_of(codes) for codes in cardinalities]
        self.width = sum(sizes)
        self.columns = nn.ModuleList(
            nn.Embedding(codes, size, padding_idx=0) for codes, size in zip(cardinalities, sizes, strict=True)
        )

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Return the numbers followed by each column's embedding."""
        vectors = [column(x_cat[:, number]) for number, column in enumerate(self.columns)]
        return torch.cat([x, *vectors], dim=1)

"""How often each token occurs in each row, as a sparse matrix: rows whose sums of weights are computed many times."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor


class TokenCounts:
    """The counts `(N, V)` of a vocabulary's tokens, and their transpose, of which the gradient is a product.

    Args:
        batches: each has tokens `x` `(N, T)`, where 0 is padding, and may have the `counts` `(N, T)` of them.
        vocab_size: number of tokens, V.
    """

    def __init__(self, batches: Sequence[Mapping[str, Tensor]], vocab_size: int) -> None:
        places, values, first = [], [], 0
        for batch in batches:
            tokens = batch["x"]
            row, column = tokens.nonzero(as_tuple=True)
            places.append(torch.stack([row + first, tokens[row, column]]))
            counts = batch.get("counts")
            values.append(
                torch.ones(len(row), device=tokens.device) if counts is None else counts[row, column]
            )
            first += len(tokens)
        counted = torch.sparse_coo_tensor(
            torch.cat(places, dim=1), torch.cat(values).float(), (first, vocab_size), check_invariants=True
        ).coalesce()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            self._counts, self._transpose = counted.to_sparse_csr(), counted.t().coalesce().to_sparse_csr()

    def __len__(self) -> int:
        return len(self._counts)

    def sums(self, weights: Tensor) -> Tensor:
        """Return the sum of the weights `(V, K)` of each row's tokens, `(N, K)`."""
        return cast(Tensor, _Product.apply(self._counts, self._transpose, weights))


class _Product(torch.autograd.Function):
    """A product with a sparse matrix. Torch's own computes the transpose again for each gradient."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, weights: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transpose @ gradient

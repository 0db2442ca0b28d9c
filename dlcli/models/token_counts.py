"""Sparse matrix of token counts, for rows whose weighted sums are computed many times."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn


def weighted_sums(table: nn.EmbeddingBag, tokens: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sums `(N, K)` of the rows of a table `(V, K)` for tokens and weights `(N, T)`."""
    weights = weights.to(table.weight.dtype)
    if torch.compiler.is_exporting():  # the exporter cannot follow the sizes within `embedding_bag`
        return (nn.functional.embedding(tokens, table.weight) * weights.unsqueeze(2)).sum(dim=1)
    return nn.functional.embedding_bag(
        tokens, table.weight, mode="sum", per_sample_weights=weights, padding_idx=table.padding_idx
    )


class TokenCounts:
    """Sparse counts `(N, V)` of tokens, and their transpose, which the gradient needs.

    Args:
        batches: batches with tokens `x` `(N, T)`, where 0 is padding, and optionally their `counts` `(N, T)`.
        vocab_size: number of tokens, V.
    """

    def __init__(self, batches: Sequence[Mapping[str, Tensor]], vocab_size: int) -> None:
        rows, columns, values, first = [], [], [], 0
        device = batches[0]["x"].device
        for batch in batches:
            tokens = batch["x"].cpu()
            row, column = tokens.nonzero(as_tuple=True)
            rows.append(row + first)
            columns.append(tokens[row, column])
            counts = batch.get("counts")
            values.append(torch.ones(len(row)) if counts is None else counts.cpu()[row, column].float())
            first += len(tokens)
        places = torch.cat(rows).numpy(), torch.cat(columns).numpy()
        # scipy's conversions take a tenth of the time of those of torch.
        counted = csr_matrix((torch.cat(values).numpy(), places), shape=(first, vocab_size))
        self._rows = counted if device.type == "cpu" else None
        self._counts, self._transpose = _as_tensor(counted, device), _as_tensor(counted.T.tocsr(), device)

    def __len__(self) -> int:
        return len(self._counts)

    def sums(self, weights: Tensor) -> Tensor:
        """Return the sum of the weights `(V, K)` of each row's tokens, `(N, K)`."""
        if self._rows is not None and weights.shape[1] == 1 and weights.dtype == torch.float32:
            return cast(Tensor, _ColumnProduct.apply(self._rows, weights))
        return cast(Tensor, _Product.apply(self._counts, self._transpose, weights))

    def rows_with_tokens(self, weights: Tensor) -> Tensor:
        """Return the sum of the weights `(N, K)` of the rows with each token, `(V, K)`."""
        there = torch.sparse_csr_tensor(
            self._transpose.crow_indices(),
            self._transpose.col_indices(),
            (self._transpose.values() > 0).to(weights.dtype),
            self._transpose.shape,
            check_invariants=False,
        )
        return there @ weights


class _Product(torch.autograd.Function):
    """Product with a sparse matrix. The one of torch would recompute the transpose for each gradient."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, weights: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transpose @ gradient


class _ColumnProduct(torch.autograd.Function):
    """Product with a single column on the CPU, where scipy takes half the time of torch; for several, it takes more."""

    @staticmethod
    def forward(ctx: Any, matrix: csr_matrix, weights: Tensor) -> Tensor:
        ctx.matrix = matrix
        return torch.from_numpy(matrix @ weights.detach().numpy()[:, 0]).unsqueeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, torch.from_numpy(ctx.matrix.T @ gradient.numpy()[:, 0]).unsqueeze(1)


def _as_tensor(matrix: csr_matrix, device: torch.device) -> Tensor:
    # scipy's indices have 32 bits if they suffice. torch's products would convert longer ones in each call.
    starts, columns = torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        values = torch.from_numpy(matrix.data)
        return torch.sparse_csr_tensor(
            starts, columns, values, matrix.shape, device=device, check_invariants=True
        )

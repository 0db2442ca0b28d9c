"""Input layer of sequence models, and masks of padded sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AsSequence(nn.Module):
    """Conversion of any supported batch to a sequence `(N, T, features)`.

    A sequence `(N, T, F)` is left unchanged, an image `(N, C, H, W)` becomes the sequence of its H pixel rows with
    C * W features each, and tokens `(N, T)` are embedded; the embedding of the padding, token 0, is 0.

    Args:
        input_shape: steps and features `(T, F)`, an image `(C, H, W)`, or the steps of tokens `(T,)`; T is 0 if rows
            differ in length.
        vocab_size: number of tokens; None if rows are not tokens.
        embedding: size of the token embeddings.
        padded: whether token 0 is the padding.
        std: standard deviation of the initial embeddings of tokens.
        dropout: dropout rate of the embeddings of tokens.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        vocab_size: int | None,
        embedding: int,
        padded: bool = True,
        std: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = 0 if padded else None
        self.table = None if vocab_size is None else nn.Embedding(vocab_size, embedding, padding_idx=padding)
        self.dropout = dropout
        if self.table is not None:
            with torch.no_grad():
                self.table.weight *= std
            self.steps, self.features = input_shape[0], embedding
        elif len(input_shape) == 3:
            channels, height, width = input_shape
            self.steps, self.features = height, channels * width
        else:
            self.steps, self.features = input_shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the sequence `(N, T, features)`."""
        if self.table is not None:
            vectors = self.table(x)
            return nn.functional.dropout(vectors, self.dropout, self.training) if self.dropout else vectors
        return x.permute(0, 2, 1, 3).flatten(2) if x.ndim == 4 else x


def present(lengths: Tensor, steps: int) -> Tensor:
    """Return a boolean mask `(N, steps)` that is true for the steps within the rows' lengths `(N,)`."""
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)

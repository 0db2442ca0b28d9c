"""How models of sequences read a row, and which of a padded row's steps are there."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AsSequence(nn.Module):
    """`(N, T, features)` of whatever a batch holds.

    A sequence `(N, T, F)` stays as it is, an image `(N, C, H, W)` is the sequence of its H rows, C * W features each,
    and a token of `(N, T)` is a vector that is learnt; that of the padding, token 0, is 0.

    Args:
        input_shape: steps and features `(T, F)`, an image `(C, H, W)`, or of tokens the steps; 0 where
            rows differ.
        vocab_size: how many tokens there are; None where rows are no tokens.
        embedding: size of a token's vector.
    """

    def __init__(self, input_shape: tuple[int, ...], vocab_size: int | None, embedding: int) -> None:
        super().__init__()
        self.table = None if vocab_size is None else nn.Embedding(vocab_size, embedding, padding_idx=0)
        if self.table is not None:
            self.steps, self.features = input_shape[0], embedding
        elif len(input_shape) == 3:
            channels, height, width = input_shape
            self.steps, self.features = height, channels * width
        else:
            self.steps, self.features = input_shape

    def forward(self, x: Tensor) -> Tensor:
        """`(N, T, features)`."""
        if self.table is not None:
            return self.table(x)
        return x.permute(0, 2, 1, 3).flatten(2) if x.ndim == 4 else x


def present(lengths: Tensor, steps: int) -> Tensor:
    """Which of `steps` are there in rows of these lengths `(N,)`, and not padding: `(N, steps)`, booleans."""
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)

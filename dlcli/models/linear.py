"""The linear model, a baseline for all networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.models.layers import CategoryVectors


class Linear(nn.Module):
    """Linear layer on the flattened row: logistic regression with cross-entropy, linear regression with MSE.

    Tokens are treated as a bag of words: each token has a weight per output, and the weights of a row's tokens are
    summed.

    Args:
        input_shape: shape of one row, which is flattened.
        num_outputs: logits or values per row.
        cardinalities: number of codes of each categorical column; each column gets an embedding.
        vocab_size: number of tokens; None if rows are not tokens.
    """

    accepts: ClassVar = {"table", "image", "sequence", "tokens"}
    reads_text: ClassVar = "bag"

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        vocab_size: int | None = None,
    ) -> None:
        super().__init__()
        self.categories = CategoryVectors(cardinalities) if cardinalities else None
        if vocab_size is None:
            inputs = math.prod(input_shape) + (self.categories.width if self.categories else 0)
            self.layers: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(inputs, num_outputs))
        else:
            self.layers = BagOfTokens(vocab_size, num_outputs)

    def forward(self, x: Tensor, x_cat: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        """Map `(N, *input_shape)` (tokens `(N, T)`) and codes `(N, K)` of categories to `(N, num_outputs)`.

        With `counts` `(N, T)`, a row's tokens are different ones, and each occurs that often.
        """
        if counts is not None:
            return self.layers(x, counts)
        if self.categories is not None and x_cat is not None:
            x = self.categories(x, x_cat)
        return self.layers(x)


class BagOfTokens(nn.Module):
    """Sum of the weights of a row's tokens plus a bias: a linear model of the token counts."""

    def __init__(self, vocab_size: int, num_outputs: int) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(vocab_size, num_outputs, mode="sum", padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        # Start at 0, so that rare tokens have no influence instead of a random one.
        nn.init.zeros_(self.weights.weight)

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """Map tokens `(N, T)`, each of which occurs `counts` `(N, T)` times, to `(N, num_outputs)`."""
        weights = None if counts is None else counts.to(self.weights.weight.dtype)
        return self.weights(x, per_sample_weights=weights) + self.bias

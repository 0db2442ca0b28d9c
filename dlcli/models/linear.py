"""The linear model: the baseline that every network has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.models.categories import CategoryVectors


class Linear(nn.Module):
    """One linear layer on the flattened row: logistic regression with cross-entropy, linear regression with MSE.

    Tokens are a bag of words: each has a weight, and a row is worth the mean of its tokens'.

    Args:
        input_shape: shape of one row; anything of a fixed size is flattened.
        num_outputs: logits or values per row.
        cardinalities: codes of each column of categories, which get a learned vector each.
        vocab_size: how many tokens there are; None where rows are no tokens.
    """

    accepts: ClassVar = {"table", "image", "sequence", "tokens"}

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

    def forward(self, x: Tensor, x_cat: Tensor | None = None) -> Tensor:
        """`(N, *input_shape)` (tokens `(N, T)`), and codes `(N, K)` of categories, to `(N, num_outputs)`."""
        if self.categories is not None and x_cat is not None:
            x = self.categories(x, x_cat)
        return self.layers(x)


class BagOfTokens(nn.Module):
    """The sum of the weights of a row's tokens, and a bias: a linear model of how often each occurs."""

    def __init__(self, vocab_size: int, num_outputs: int) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(vocab_size, num_outputs, mode="sum", padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        # Tokens that are hardly ever seen say nothing, instead of something at random.
        nn.init.zeros_(self.weights.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens `(N, T)` to `(N, num_outputs)`."""
        return self.weights(x) + self.bias

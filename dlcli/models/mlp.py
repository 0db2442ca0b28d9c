"""Multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.categories import CategoryVectors
from dlcli.models.initialization import Initialization, initialize
from dlcli.models.layers import Activation, Normalization, PerLayer, Share, Size


class MLP(nn.Module):
    """Dense hidden layers, each with normalisation, activation and dropout, and a linear output.

    Args:
        input_shape: shape of one row; anything of a fixed size is flattened.
        num_outputs: logits or values per row.
        cardinalities: codes of each column of categories, which get a learned vector each.
        vocab_size: how many tokens there are; None where rows are no tokens.
        embedding: size of the vector that stands for a token; a row of tokens is the mean of theirs.
        hidden: units of each hidden layer; a list gives each layer its own and sets their number.
        layers: number of hidden layers, where `hidden` is one number.
        activation: the non-linearity.
        normalization: what normalises between a layer and its activation.
        dropout: share of units dropped after each hidden layer.
        residual: a shortcut around each hidden layer that has as many units as the one before it.
        initialization: how the weights are drawn.

    Raises:
        ValueError: `residual` without two neighbouring hidden layers of one size.
    """

    accepts: ClassVar = {"table", "image", "sequence", "tokens"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        vocab_size: int | None = None,
        embedding: Size = 64,
        hidden: PerLayer = 128,
        layers: Size = 2,
        activation: Activation = "relu",
        normalization: Normalization = "none",
        dropout: Share = 0.0,
        residual: bool = False,
        initialization: Initialization = "default",
    ) -> None:
        super().__init__()
        sizes = [hidden] * layers if isinstance(hidden, int) else list(hidden)
        if residual and not any(inputs == outputs for inputs, outputs in pairwise(sizes)):
            raise ValueError(
                f"residual needs two neighbouring hidden layers of one size, these have {sizes}: "
                "give hidden one number and more layers, or residual=false"
            )
        self.categories = CategoryVectors(cardinalities) if cardinalities else None
        if vocab_size is None:
            blocks: list[nn.Module] = [nn.Flatten()]
            inputs = math.prod(input_shape) + (self.categories.width if self.categories else 0)
        else:
            blocks = [nn.EmbeddingBag(vocab_size, embedding, mode="mean", padding_idx=0)]
            inputs = embedding
        for number, outputs in enumerate(sizes):
            block = [
                nn.Linear(inputs, outputs),
                *shared.normalization(normalization, outputs),
                shared.activation(activation),
                *shared.dropout(dropout),
            ]
            shortcut = residual and number > 0 and inputs == outputs
            blocks += [shared.Residual(nn.Sequential(*block))] if shortcut else block
            inputs = outputs
        self.layers = nn.Sequential(*blocks, nn.Linear(inputs, num_outputs))
        initialize(self, initialization)

    def forward(self, x: Tensor, x_cat: Tensor | None = None) -> Tensor:
        """`(N, *input_shape)` (tokens `(N, T)`), and codes `(N, K)` of categories, to `(N, num_outputs)`."""
        if self.categories is not None and x_cat is not None:
            x = self.categories(x, x_cat)
        return self.layers(x)

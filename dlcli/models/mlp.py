"""Multilayer perceptron."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, repeat
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import (
    Activation,
    Depth,
    Initialization,
    Normalization,
    PerLayer,
    Share,
    Size,
    initialize,
)
from dlcli.models.number_embeddings import Bins, Frequency, NumberEmbedding, Quantiles
from dlcli.models.table_inputs import embedded, table_inputs
from dlcli.models.token_counts import weighted_sums

# Lower bound of the sum of a row's counts, for a row all of whose tokens are left out.
_LEAST = 1e-6


class MeanOfTokens(nn.EmbeddingBag):
    """Mean of the embeddings of a row's tokens.

    Args:
        vocab_size: number of tokens; token 0 is padding.
        embedding: size of an embedding.
        std: standard deviation of the initial embeddings.
        dropout: share of a row's tokens that are left out in training (word dropout; Iyyer et al., "Deep Unordered
            Composition Rivals Syntactic Methods for Text Classification", 2015).
    """

    def __init__(self, vocab_size: int, embedding: int, std: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__(vocab_size, embedding, mode="mean", padding_idx=0)
        self.dropout = dropout
        with torch.no_grad():
            self.weight *= std

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Map tokens `(N, T)`, each of which occurs `counts` `(N, T)` times, to `(N, embedding_dim)`."""
        if self.training and self.dropout:
            counts = (x != 0).to(self.weight.dtype) if counts is None else counts.to(self.weight.dtype)
            counts = counts * (torch.rand_like(counts) >= self.dropout)
            return weighted_sums(self, x, counts) / counts.abs().sum(dim=1, keepdim=True).clamp_min(_LEAST)
        if counts is None:
            return super().forward(x)
        return weighted_sums(self, x, counts) / counts.abs().sum(dim=1, keepdim=True).to(self.weight.dtype)


class MLP(nn.Module):
    """Multilayer perceptron: hidden layers with normalization, activation and dropout, and a linear output.

    Args:
        input_shape: shape of one row, which is flattened.
        num_outputs: logits or values per row.
        cardinalities: number of codes of each categorical column; each column gets an embedding.
        vocab_size: number of tokens; None if rows are not tokens.
        embedding: size of the token embeddings; a row is represented by the mean of its tokens' embeddings.
        embedding_std: standard deviation of the initial token embeddings. With 1, torch's default, a rare token moves a
            row at random, and the network memorizes training rows.
        embedding_dropout: dropout rate of a row's mean embedding.
        token_dropout: share of a row's tokens that are left out in training.
        hidden: number of units of all hidden layers, or a list with one number per layer, which sets their number.
        layers: number of hidden layers if `hidden` is one number.
        activation: the activation function.
        normalization: the normalization between a layer and its activation.
        dropout: dropout rate after each hidden layer.
        residual: add a residual connection around each hidden layer with as many units as the layer before it.
        initialization: initialization of the weights.
        quantiles: quantiles of each column of a table over the training rows, see `NumberVectors`.
        numbers: embedding of a table's numbers: `plain` (none), `piecewise` linear functions of each number, or
            `periodic` ones.
        number_size: size of the embedding of a number.
        bins: number of bins of piecewise functions, and of frequencies of periodic ones.
        frequency: standard deviation of the initial frequencies.

    Raises:
        ValueError: `residual` without two consecutive hidden layers of equal size, or an embedding of numbers for data
            other than tables.
    """

    accepts: ClassVar = {"table", "image", "sequence", "tokens", "audio"}
    reads_text: ClassVar = "bag"
    search_space: ClassVar = {
        "hidden": "64,128,256,512",
        "layers": "range(1,4)",
        "dropout": "interval(0,0.5)",
        "normalization": "none,batch,layer",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        vocab_size: int | None = None,
        embedding: Size = 64,
        hidden: PerLayer = 128,
        layers: Depth = 2,
        activation: Activation = "relu",
        normalization: Normalization = "none",
        dropout: Share = 0.0,
        residual: bool = False,
        initialization: Initialization = "default",
        quantiles: Quantiles | None = None,
        numbers: NumberEmbedding = "plain",
        number_size: Size = 16,
        bins: Bins = 32,
        frequency: Frequency = 0.1,
        embedding_std: Annotated[float, Gt(0)] = 1.0,
        embedding_dropout: Share = 0.0,
        token_dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        # Build layers from an iterator, because a foreign file may declare a huge number of them.
        sizes: Iterable[int] = repeat(hidden, layers) if isinstance(hidden, int) else hidden
        equal = layers > 1 if isinstance(hidden, int) else any(a == b for a, b in pairwise(hidden))
        if residual and not equal:
            raise ValueError(
                f"residual needs two consecutive hidden layers of equal size, but the sizes are {list(sizes)}: "
                "set hidden to one number with more layers, or residual=false"
            )
        self.numbers, self.categories, inputs = table_inputs(
            input_shape, cardinalities, quantiles, numbers, number_size, bins, frequency
        )
        if vocab_size is None:
            blocks: list[nn.Module] = [nn.Flatten()]
        else:
            blocks = [MeanOfTokens(vocab_size, embedding, embedding_std, token_dropout)]
            blocks += shared.dropout(embedding_dropout)
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

    def forward(self, x: Tensor, x_cat: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        """Map `(N, *input_shape)` (tokens `(N, T)`) and codes `(N, K)` of categories to `(N, num_outputs)`.

        With `counts` `(N, T)`, a row's tokens are distinct, and each occurs that many times.
        """
        if counts is not None:
            return self.layers[1:](self.layers[0](x, counts))
        return self.layers(embedded(x, x_cat, self.numbers, self.categories))

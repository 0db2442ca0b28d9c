"""Transformer encoder (Vaswani et al., Attention Is All You Need, 2017)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.initialization import Initialization, initialize
from dlcli.models.layers import Activation, Share, Size
from dlcli.models.pooling import Pooling, SequencePooling
from dlcli.models.sequences import AsSequence, present


class Transformer(nn.Module):
    """Embedding (of tokens a table, else linear), positions, encoder layers, one vector of states, and a linear output.

    Normalises before each part of a layer (Xiong et al., 2020), which trains without a warm-up. Images are read as
    sequences of their rows.

    Args:
        input_shape: steps and features `(T, F)`, an image `(C, H, W)`, or of tokens the steps.
        num_outputs: logits or values per sequence.
        vocab_size: how many tokens there are; None where rows are no tokens.
        hidden: size of the vector that stands for a step; divisible by `heads`.
        layers: number of encoder layers.
        heads: attention heads of each layer.
        feedforward: units of the dense layer within each encoder layer.
        activation: the non-linearity of that dense layer.
        pooling: how the steps' states become one vector.
        dropout: share dropped after the embedding and within the layers.
        initialization: how the weights are drawn.

    Raises:
        ValueError: `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"sequence", "image", "tokens"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        hidden: Size = 64,
        layers: Size = 2,
        heads: Size = 4,
        feedforward: Size = 128,
        activation: Activation = "gelu",
        pooling: Pooling = "mean",
        dropout: Share = 0.1,
        initialization: Initialization = "default",
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        self.sequence = AsSequence(input_shape, vocab_size, hidden)
        self.embed = nn.Linear(self.sequence.features, hidden) if vocab_size is None else nn.Identity()
        self.register_buffer("positions", sinusoids(self.sequence.steps, hidden), persistent=False)
        self.drop = nn.Sequential(*shared.dropout(dropout))
        # A list of layers made one by one: nn.TransformerEncoder copies one layer, and with it its initial weights.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                hidden,
                heads,
                feedforward,
                dropout,
                activation=shared.activation(activation),
                batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.pool = SequencePooling(pooling, hidden)
        self.head = nn.Linear(hidden, num_outputs)
        initialize(self, initialization)

    positions: Tensor

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`(N, T, F)`, `(N, C, H, W)` or tokens `(N, T)`, rows of `lengths` `(N,)`, to `(N, num_outputs)`."""
        states = self.embed(self.sequence(x))
        states = self.drop(states + self._positions(states.shape[1]))
        padding = None if lengths is None else ~present(lengths, states.shape[1])
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=padding)
        return self.head(self.pool(self.norm(states), lengths))

    def _positions(self, steps: int) -> Tensor:
        """Those of the first steps; more are made where a row is longer than any before."""
        if steps > len(self.positions):
            self.positions = sinusoids(steps, self.positions.shape[1]).to(self.positions)
        return self.positions[:steps]


def sinusoids(steps: int, features: int) -> Tensor:
    """The position code `(steps, features)` of section 3.5: sines and cosines of falling frequencies, in turns."""
    position = torch.arange(steps).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, features, 2) * (-math.log(10_000) / features))
    code = torch.zeros(steps, features)
    code[:, 0::2] = torch.sin(position * frequency)
    code[:, 1::2] = torch.cos(position * frequency)[:, : features // 2]
    return code

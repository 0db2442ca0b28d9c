"""Transformer encoder (Vaswani et al., Attention Is All You Need, 2017)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dlcli.config.target_kinds import ONE_A_ROW
from dlcli.models import layers as shared
from dlcli.models.layers import (
    Activation,
    Depth,
    Initialization,
    Pooling,
    SequencePooling,
    Share,
    Size,
    initialize,
)
from dlcli.models.sequence_input import AsSequence, present


class Transformer(nn.Module):
    """Token or linear embedding, positional encoding, encoder layers, pooling of the states, and a linear output.

    Layers use pre-normalization (Xiong et al., 2020), which trains without a warm-up. Images are read as sequences of
    pixel rows.

    Args:
        input_shape: steps and features `(T, F)`, an image `(C, H, W)`, or the steps of tokens `(T,)`.
        num_outputs: logits or values per sequence.
        vocab_size: number of tokens; None if rows are not tokens.
        hidden: size of a step's state; must be divisible by `heads`.
        layers: number of encoder layers.
        heads: number of attention heads per layer.
        feedforward: number of units of the feed-forward network of each encoder layer.
        activation: activation function of the feed-forward network.
        pooling: pooling of the steps' states to one vector.
        dropout: dropout rate after the embedding and within the layers.
        initialization: initialization of the weights.
        outputs_of: unit of the outputs: each `row`, or each `word` or `step` of a sequence (without pooling).

    Raises:
        ValueError: `hidden` is not divisible by `heads`.
    """

    accepts: ClassVar = {"sequence", "image", "tokens", "audio", "words"}
    targets: ClassVar = ONE_A_ROW | {"tag", "ctc"}
    search_space: ClassVar = {
        "hidden": "32,64,128",
        "layers": "range(1,4)",
        "feedforward": "64,128,256",
        "dropout": "interval(0,0.4)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        hidden: Size = 64,
        layers: Depth = 2,
        heads: Size = 4,
        feedforward: Size = 128,
        activation: Activation = "gelu",
        pooling: Pooling = "mean",
        dropout: Share = 0.1,
        initialization: Initialization = "default",
        outputs_of: Literal["row", "word", "step"] = "row",
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) must be divisible by heads ({heads})")
        self.sequence = AsSequence(input_shape, vocab_size, hidden)
        self.embed = nn.Linear(self.sequence.features, hidden) if vocab_size is None else nn.Identity()
        self.register_buffer("positions", sinusoids(self.sequence.steps, hidden), persistent=False)
        self.drop = nn.Sequential(*shared.dropout(dropout))
        self.layers = shared.encoder_layers(
            layers, hidden, heads, feedforward, dropout, activation, norm_first=True
        )
        self.norm = nn.LayerNorm(hidden)
        self.pool = SequencePooling(pooling, hidden) if outputs_of == "row" else None
        self.head = nn.Linear(hidden, num_outputs)
        initialize(self, initialization)

    positions: Tensor

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `(N, T, F)`, `(N, C, H, W)` or tokens `(N, T)`, with `lengths` `(N,)`, to `(N, num_outputs)`.

        Outputs of words and steps are `(N, T, num_outputs)`.
        """
        states = self.embed(self.sequence(x))
        states = self.drop(states + self._positions(states.shape[1]))
        padding = None if lengths is None else ~present(lengths, states.shape[1])
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=padding)
        states = self.norm(states)
        return self.head(states if self.pool is None else self.pool(states, lengths))

    def _positions(self, steps: int) -> Tensor:
        """Return the encodings of the first steps, extending the table for longer rows."""
        if steps > len(self.positions):
            self.positions = sinusoids(steps, self.positions.shape[1]).to(self.positions)
        return self.positions[:steps]


def sinusoids(steps: int, features: int) -> Tensor:
    """Return the positional encoding `(steps, features)` of section 3.5: alternating sines and cosines."""
    position = torch.arange(steps).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, features, 2) * (-math.log(10_000) / features))
    code = torch.zeros(steps, features)
    code[:, 0::2] = torch.sin(position * frequency)
    code[:, 1::2] = torch.cos(position * frequency)[:, : features // 2]
    return code

"""Convolutional network for texts (Kim, Convolutional Neural Networks for Sentence Classification, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.initialization import Initialization, initialize
from dlcli.models.layers import Activation, Share, Size
from dlcli.models.pooling import Pooling, SequencePooling
from dlcli.models.sequences import AsSequence


class TextCNN(nn.Module):
    """Convolutions of several widths side by side over the steps, each one's strongest answer, and a linear output.

    Args:
        input_shape: of tokens the steps; of a sequence steps and features `(T, F)`.
        num_outputs: logits or values per sequence.
        vocab_size: how many tokens there are; None where rows are no tokens.
        embedding: size of the vector that stands for a token.
        channels: channels of each convolution.
        kernel_sizes: steps that each convolution spans.
        activation: the non-linearity.
        pooling: how the steps' states become one vector.
        dropout: share dropped before the output.
        initialization: how the weights are drawn.
    """

    accepts: ClassVar = {"sequence", "tokens"}

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        embedding: Size = 64,
        channels: Size = 64,
        kernel_sizes: Annotated[Sequence[Size], MinLen(1)] = (3, 4, 5),
        activation: Activation = "relu",
        pooling: Pooling = "max",
        dropout: Share = 0.5,
        initialization: Initialization = "default",
    ) -> None:
        super().__init__()
        self.sequence = AsSequence(input_shape, vocab_size, embedding)
        # Zeros behind the end: a text may be shorter than the widest kernel, and each step has a state.
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.ConstantPad1d((0, size - 1), 0.0), nn.Conv1d(self.sequence.features, channels, size)
            )
            for size in kernel_sizes
        )
        states = channels * len(kernel_sizes)
        self.activation = shared.activation(activation)
        self.pool = SequencePooling(pooling, states)
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(states, num_outputs))
        initialize(self, initialization)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`(N, T)` tokens or `(N, T, F)`, rows of `lengths` `(N,)`, to `(N, num_outputs)`."""
        channels_first = self.sequence(x).transpose(1, 2)
        states = torch.cat([convolution(channels_first) for convolution in self.convolutions], dim=1)
        return self.head(self.pool(self.activation(states).transpose(1, 2), lengths))

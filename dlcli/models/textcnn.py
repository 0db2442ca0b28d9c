"""Convolutional network for texts (Kim, Convolutional Neural Networks for Sentence Classification, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Activation, Initialization, Pooling, SequencePooling, Share, Size, initialize
from dlcli.models.sequence_input import AsSequence


class TextCNN(nn.Module):
    """Parallel convolutions of several kernel sizes over the steps, pooling of their outputs, and a linear output.

    Args:
        input_shape: steps of tokens `(T,)`, or steps and features of a sequence `(T, F)`.
        num_outputs: logits or values per sequence.
        vocab_size: number of tokens; None if rows are not tokens.
        embedding: size of the token embeddings.
        embedding_std: standard deviation of the initial token embeddings; with 1, torch's own, rare tokens are noise.
        embedding_dropout: dropout rate of the token embeddings.
        channels: number of channels of each convolution.
        kernel_sizes: kernel size of each convolution in steps.
        activation: the activation function.
        pooling: pooling of the steps' states to one vector.
        dropout: dropout rate before the output.
        initialization: initialization of the weights.
    """

    accepts: ClassVar = {"sequence", "tokens"}
    reads_text: ClassVar = "whole"
    longest_text: ClassVar = 16_384
    search_space: ClassVar = {
        "embedding": "32,64,128",
        "channels": "32,64,128",
        "dropout": "interval(0.2,0.7)",
        "pooling": "max,mean",
    }

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
        embedding_std: Annotated[float, Gt(0)] = 1.0,
        embedding_dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        self.sequence = AsSequence(
            input_shape, vocab_size, embedding, std=embedding_std, dropout=embedding_dropout
        )
        # Pad at the end, so that each step has a state and texts shorter than the kernel are possible.
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
        """Map tokens `(N, T)` or `(N, T, F)`, with `lengths` `(N,)`, to `(N, num_outputs)`."""
        channels_first = self.sequence(x).transpose(1, 2)
        states = torch.cat([convolution(channels_first) for convolution in self.convolutions], dim=1)
        return self.head(self.pool(self.activation(states).transpose(1, 2), lengths))

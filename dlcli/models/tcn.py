"""Temporal convolutional network (Bai, Kolter and Koltun, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from annotated_types import MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import (
    Activation,
    Initialization,
    Normalization,
    Pooling,
    SequencePooling,
    Share,
    Size,
    initialize,
)
from dlcli.models.sequence_input import AsSequence


class TCN(nn.Module):
    """Residual blocks of causal convolutions with doubling dilation, pooling of the states, and a linear output.

    The receptive field is `1 + 2 (kernel_size - 1) (2^blocks - 1)` steps. Images are read as sequences of pixel rows.

    Args:
        input_shape: steps and features `(T, F)`, an image `(C, H, W)`, or the steps of tokens `(T,)`.
        num_outputs: logits or values per sequence.
        vocab_size: number of tokens; None if rows are not tokens.
        embedding: size of the token embeddings.
        channels: number of channels of each block; the length is the number of blocks.
        kernel_size: kernel size in steps, before dilation.
        activation: the activation function.
        normalization: the normalization between a convolution and its activation.
        pooling: pooling of the steps' states to one vector.
        dropout: dropout rate after each convolution.
        initialization: initialization of the weights.
    """

    accepts: ClassVar = {"sequence", "image", "tokens", "audio"}
    longest_text: ClassVar = 2048
    search_space: ClassVar = {
        "channels": "[32,32,32],[64,64,64],[64,64,64,64]",
        "kernel_size": "2,3,5",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocab_size: int | None = None,
        embedding: Size = 64,
        channels: Annotated[Sequence[Size], MinLen(1)] = (64, 64, 64),
        kernel_size: Size = 3,
        activation: Activation = "relu",
        normalization: Normalization = "none",
        pooling: Pooling = "last",
        dropout: Share = 0.1,
        initialization: Initialization = "default",
    ) -> None:
        super().__init__()
        self.sequence = AsSequence(input_shape, vocab_size, embedding)
        inputs = self.sequence.features
        blocks: list[nn.Module] = []
        for number, outputs in enumerate(channels):
            block: list[nn.Module] = []
            for size in (inputs, outputs):
                dilation = 2**number
                block += [
                    # Pad on the left only, so that no step depends on a later one.
                    nn.ConstantPad1d(((kernel_size - 1) * dilation, 0), 0.0),
                    nn.Conv1d(size, outputs, kernel_size, dilation=dilation, bias=normalization != "batch"),
                    *shared.normalization(normalization, outputs, dimensions=1),
                    shared.activation(activation),
                    *shared.dropout(dropout),
                ]
            shortcut = None if inputs == outputs else nn.Conv1d(inputs, outputs, 1)
            blocks += [shared.Residual(nn.Sequential(*block), shortcut), shared.activation(activation)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = SequencePooling(pooling, inputs)
        self.head = nn.Linear(inputs, num_outputs)
        initialize(self, initialization)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `(N, T, F)`, `(N, C, H, W)` or tokens `(N, T)`, with `lengths` `(N,)`, to `(N, num_outputs)`."""
        states = self.blocks(self.sequence(x).transpose(1, 2))
        return self.head(self.pool(states.transpose(1, 2), lengths))

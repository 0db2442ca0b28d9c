"""Convolutional recurrent network for spectrograms (Shi et al., 2017; Amodei et al., Deep Speech 2, 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from annotated_types import MinLen
from torch import Tensor, nn

from dlcli.config.target_kinds import ONE_A_ROW
from dlcli.models import layers as shared
from dlcli.models.layers import (
    Depth,
    Initialization,
    PerLayer,
    Pooling,
    SequencePooling,
    Share,
    Size,
    initialize,
    per_layer,
)
from dlcli.models.recurrent_rows import through_rows
from dlcli.models.sequence_input import present


class CRNN(nn.Module):
    """Convolutions over frames and bands, recurrent layers over the remaining frames, and a linear output of each.

    Frames after the end of a row are 0 in every layer, so that outputs do not depend on the padding of a batch; only
    batch normalization sees them in training.

    Args:
        input_shape: frames and bands `(T, F)`; T is 0 if rows differ in length.
        num_outputs: logits or values, per step or per row.
        channels: number of channels of each convolution.
        kernel_size: side of the square kernels; one for all convolutions, or a list.
        stride: stride over frames and bands; one for all convolutions, or a list. The product is `frames_per_step`.
        normalization: normalization after each convolution.
        cell: kind of recurrent layer.
        hidden: number of units of each recurrent layer and direction.
        layers: number of recurrent layers.
        bidirectional: also read the sequence backwards.
        pooling: pooling of the steps to one vector, for outputs of rows.
        dropout: dropout rate before each recurrent layer and before the output.
        initialization: initialization of the weights.
        outputs_of: what the outputs are of: each `row`, or each `step`.

    Attributes:
        frames_per_step: number of frames that a step of the outputs covers.
    """

    accepts: ClassVar = {"sequence", "audio"}
    targets: ClassVar = ONE_A_ROW | {"ctc"}
    search_space: ClassVar = {
        "hidden": "64,128,256",
        "layers": "1,2,3",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        channels: Annotated[Sequence[Size], MinLen(1)] = (32, 32),
        kernel_size: PerLayer = 3,
        stride: PerLayer = 2,
        normalization: Literal["none", "batch"] = "batch",
        cell: Literal["lstm", "gru"] = "lstm",
        hidden: Size = 128,
        layers: Depth = 1,
        bidirectional: bool = True,
        pooling: Pooling = "mean",
        dropout: Share = 0.0,
        initialization: Initialization = "default",
        outputs_of: Literal["row", "step"] = "row",
    ) -> None:
        super().__init__()
        bands, before = input_shape[-1], 1
        sizes = per_layer(kernel_size, len(channels), "kernel_size")
        self.strides = per_layer(stride, len(channels), "stride")
        self.frames_per_step = math.prod(self.strides)
        self.convolutions = nn.ModuleList()
        for width, size, step in zip(channels, sizes, self.strides, strict=True):
            convolution = nn.Conv2d(before, width, size, stride=step, padding=size // 2)
            self.convolutions.append(
                nn.Sequential(convolution, *shared.normalization(normalization, width, 2), nn.ReLU())
            )
            before, bands = width, (bands + 2 * (size // 2) - size) // step + 1
        self.layers = (nn.LSTM if cell == "lstm" else nn.GRU)(
            before * bands,
            hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
            batch_first=True,
        )
        self.drop = nn.Sequential(*shared.dropout(dropout))
        states = 2 * hidden if bidirectional else hidden
        self.pool = SequencePooling(pooling, states) if outputs_of == "row" else None
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(states, num_outputs))
        initialize(self, initialization)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `(N, T, F)`, with `lengths` `(N,)`, to `(N, num_outputs)`, or for steps to `(N, T', num_outputs)`.

        T' is T divided by `frames_per_step`, rounded up.
        """
        states = _silenced(x, lengths).unsqueeze(1)
        for convolution, step in zip(self.convolutions, self.strides, strict=True):
            states = convolution(states)
            lengths = None if lengths is None else (lengths + step - 1) // step
            states = _silenced(states.transpose(1, 2), lengths).transpose(1, 2)
        sequence = self.drop(states.transpose(1, 2).flatten(2))
        if lengths is not None and self.layers.bidirectional:
            sequence, _ = through_rows(self.layers, sequence, lengths)
        else:
            sequence, _ = self.layers(sequence)
        return self.head(sequence if self.pool is None else self.pool(sequence, lengths))


def _silenced(states: Tensor, lengths: Tensor | None) -> Tensor:
    """Return states `(N, T, ...)` that are 0 after the end of each row."""
    if lengths is None:
        return states
    within = present(lengths, states.shape[1])
    return states * within.view(*within.shape, *[1] * (states.ndim - 2)).to(states.dtype)

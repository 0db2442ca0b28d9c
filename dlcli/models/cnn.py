"""Convolutional network for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.initialization import Initialization, initialize
from dlcli.models.layers import Activation, Normalization, PerLayer, Share, Size


class CNN(nn.Module):
    """Blocks of convolution, normalisation, activation and pooling, then a dense layer and the output.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        channels: channels of each block's convolution; their number is the number of blocks.
        kernel_size: side of the square kernels, in pixels; for all blocks, or a list with each block's.
        stride: step of the kernels, in pixels; for all blocks, or a list with each block's.
        padding: `same` pads the border so that only the stride makes the image smaller, `valid` pads nothing; or
            pixels.
        pool: side and stride of the pooling windows, in pixels; 1 pools nothing; for all blocks, or each block's.
        pooling: what is taken of a window: its maximum, or its average.
        global_pooling: average each channel over all that is left of the image, instead of flattening it.
        hidden: units of the dense layer; 0 leaves it out.
        activation: the non-linearity.
        normalization: what normalises between a convolution and its activation.
        dropout: share dropped after the blocks.
        head_dropout: share dropped after the dense layer; None takes `dropout`.
        initialization: how the weights are drawn.
        channels_last: keep the values of a pixel's channels side by side in memory, which most devices compute faster.

    Raises:
        ValueError: the image is too small for so many blocks.
    """

    accepts: ClassVar = {"image"}

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        channels: Annotated[Sequence[Size], MinLen(1)] = (32, 64),
        kernel_size: PerLayer = 3,
        stride: PerLayer = 1,
        padding: Literal["same", "valid"] | Annotated[int, Ge(0)] = "same",
        pool: PerLayer = 2,
        pooling: Literal["max", "average"] = "max",
        global_pooling: bool = False,
        hidden: Annotated[int, Ge(0)] = 128,
        activation: Activation = "relu",
        normalization: Normalization = "none",
        dropout: Share = 0.25,
        head_dropout: Share | None = None,
        initialization: Initialization = "default",
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        kernels = shared.per_layer(kernel_size, len(channels), "kernel_size")
        strides = shared.per_layer(stride, len(channels), "stride")
        pools = shared.per_layer(pool, len(channels), "pool")
        depth, *size = input_shape
        blocks: list[nn.Module] = []
        for number, (outputs, kernel, step, window) in enumerate(
            zip(channels, kernels, strides, pools, strict=True), start=1
        ):
            before, after = _padding(padding, kernel)
            size = [((side + before + after - kernel) // step + 1) // window for side in size]
            if min(size) < 1:
                raise ValueError(
                    f"block {number} of {len(channels)} leaves nothing of an image of "
                    f"{input_shape[1]} x {input_shape[2]} pixels: give fewer channels, or smaller pool and stride"
                )
            if before != after:
                blocks.append(nn.ZeroPad2d((before, after, before, after)))
                before = 0
            # A bias in front of a batch normalisation is subtracted again.
            convolution = nn.Conv2d(depth, outputs, kernel, step, before, bias=normalization != "batch")
            norm = shared.normalization(normalization, outputs, dimensions=2)
            blocks += [convolution, *norm, shared.activation(activation)]
            if window > 1:
                blocks.append(nn.MaxPool2d(window) if pooling == "max" else nn.AvgPool2d(window))
            depth = outputs
        if global_pooling:
            blocks.append(nn.AdaptiveAvgPool2d(1))
            size = [1, 1]
        self.features = nn.Sequential(*blocks, nn.Flatten())
        inputs = depth * size[0] * size[1]
        head: list[nn.Module] = [*shared.dropout(dropout)]
        if hidden:
            last = dropout if head_dropout is None else head_dropout
            head += [nn.Linear(inputs, hidden), shared.activation(activation), *shared.dropout(last)]
        self.head = nn.Sequential(*head, nn.Linear(hidden or inputs, num_outputs))
        initialize(self, initialization)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, num_outputs)`."""
        return self.head(self.features(x))


def _padding(padding: str | int, kernel: int) -> tuple[int, int]:
    """Pixels added before and after; an even kernel, padded to keep the size, gets one more after."""
    if isinstance(padding, int):
        return padding, padding
    return ((kernel - 1) // 2, kernel // 2) if padding == "same" else (0, 0)

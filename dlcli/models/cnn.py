"""Convolutional network for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Activation, Initialization, Normalization, PerLayer, Share, Size, initialize
from dlcli.models.quick_dropout import QuickDropout

# Activations that never fall and are computed without rounding of their own: the maximum of a window is the same before
# and after them. Their derivative is 0 at a maximum of 0, so that the gradients are the same as well.
_NEVER_FALLING = ("relu", "leaky_relu")


class CNN(nn.Module):
    """Convolutional network: blocks of convolution, normalization, activation and pooling, a dense layer, the output.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        channels: number of channels of each block's convolution; the length is the number of blocks.
        kernel_size: side of the square kernels in pixels; one for all blocks, or a list with one per block.
        stride: stride of the convolutions in pixels; one for all blocks, or a list with one per block.
        padding: `same` pads the border so that only the stride reduces the image size, `valid` does not pad; or a
            number of pixels.
        pool: side and stride of the pooling windows in pixels, one for all blocks or one per block; 1 disables pooling.
        pooling: the pooling function, maximum or average.
        global_pooling: average each channel over the remaining image instead of flattening it.
        hidden: number of units of the dense layer; 0 omits it.
        activation: the activation function.
        normalization: the normalization between a convolution and its activation.
        dropout: dropout rate after the blocks.
        head_dropout: dropout rate after the dense layer; None takes `dropout`.
        initialization: initialization of the weights.
        channels_last: store tensors in channels-last memory format, which is faster on most devices.

    Raises:
        ValueError: the image is too small for the number of blocks.
    """

    accepts: ClassVar = {"image", "audio"}
    search_space: ClassVar = {
        "channels": "[16,32],[32,64],[32,64,128]",
        "hidden": "0,64,128,256",
        "dropout": "interval(0,0.5)",
        "normalization": "none,batch",
    }

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
        channels_last: bool = True,
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
                    f"an image of {input_shape[1]} x {input_shape[2]} pixels is too small for block {number} of "
                    f"{len(channels)}: use fewer channels, or a smaller pool or stride"
                )
            if before != after:
                blocks.append(nn.ZeroPad2d((before, after, before, after)))
                before = 0
            # Batch normalization cancels a preceding bias, so the convolution has none.
            convolution = nn.Conv2d(depth, outputs, kernel, step, before, bias=normalization != "batch")
            norm = shared.normalization(normalization, outputs, dimensions=2)
            after_norm = [shared.activation(activation), *_pooling(pooling, window)]
            if pooling == "max" and activation in _NEVER_FALLING:
                after_norm.reverse()  # the same values and gradients, with an activation of fewer pixels
            blocks += [convolution, *norm, *after_norm]
            depth = outputs
        if global_pooling:
            blocks.append(nn.AdaptiveAvgPool2d(1))
            size = [1, 1]
        self.features = nn.Sequential(*blocks, nn.Flatten())
        inputs = depth * size[0] * size[1]
        head: list[nn.Module] = [*_dropout(dropout)]
        if hidden:
            last = dropout if head_dropout is None else head_dropout
            head += [nn.Linear(inputs, hidden), shared.activation(activation), *_dropout(last)]
        self.head = nn.Sequential(*head, nn.Linear(hidden or inputs, num_outputs))
        initialize(self, initialization)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, num_outputs)`."""
        return self.head(self.features(x))


def _dropout(share: float) -> list[nn.Module]:
    return [QuickDropout(share)] if share > 0 else []


def _pooling(kind: str, window: int) -> list[nn.Module]:
    if window == 1:
        return []
    return [nn.MaxPool2d(window) if kind == "max" else nn.AvgPool2d(window)]


def _padding(padding: str | int, kernel: int) -> tuple[int, int]:
    """Return the pixels added before and after; an even kernel with `same` padding gets one more after."""
    if isinstance(padding, int):
        return padding, padding
    return ((kernel - 1) // 2, kernel // 2) if padding == "same" else (0, 0)

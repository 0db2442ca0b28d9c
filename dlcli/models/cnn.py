"""Convolutional network for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

from dlcli.models import layers
from dlcli.models.layers import Activation


class CNN(nn.Module):
    """Blocks of convolution, activation and max-pooling, then a dense layer and the output.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        channels: channels of each block's convolution; their number is the number of blocks.
        kernel_size: side of the square kernels, in pixels; the border is padded, the size stays.
        pool: side and stride of the max-pooling windows, in pixels; 1 pools nothing.
        hidden: units of the dense layer; 0 leaves it out.
        activation: the non-linearity.
        dropout: share dropped before and after the dense layer.

    Raises:
        ValueError: the image is too small to be pooled so often.
    """

    accepts: ClassVar = {"image"}

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        channels: Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(1)] = (32, 64),
        kernel_size: Annotated[int, Ge(1)] = 3,
        pool: Annotated[int, Ge(1)] = 2,
        hidden: Annotated[int, Ge(0)] = 128,
        activation: Activation = "relu",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.25,
    ) -> None:
        super().__init__()
        depth, height, width = input_shape
        if min(height, width) // pool ** len(channels) < 1:
            raise ValueError(
                f"{len(channels)} poolings by {pool} leave nothing of an image of {height} x {width} pixels: "
                "give fewer channels, or a smaller pool"
            )
        blocks: list[nn.Module] = []
        for outputs in channels:
            blocks += [nn.Conv2d(depth, outputs, kernel_size, padding="same"), layers.activation(activation)]
            if pool > 1:
                blocks.append(nn.MaxPool2d(pool))
            depth = outputs
        self.features = nn.Sequential(*blocks, nn.Flatten())
        for _ in channels:
            height, width = height // pool, width // pool
        size = depth * height * width
        head: list[nn.Module] = [*layers.dropout(dropout)]
        if hidden:
            head += [nn.Linear(size, hidden), layers.activation(activation), *layers.dropout(dropout)]
        self.head = nn.Sequential(*head, nn.Linear(hidden or size, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, num_outputs)`."""
        return self.head(self.features(x))

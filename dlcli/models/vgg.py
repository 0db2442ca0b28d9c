"""Stages of 3 x 3 convolutions without shortcuts, for images (Simonyan and Zisserman, 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Activation, Depth, Initialization, Normalization, Share, Size, initialize


class VGG(nn.Module):
    """Stages of 3 x 3 convolutions, each with one pooling; global average pooling, and a linear output.

    Unlike in the original, convolutions are normalized, a stage pools right after its first convolution, so that all
    that follows takes a quarter of the pixels, and no dense layers precede the output (as in Jordan, 94% on CIFAR-10 in
    3.29 Seconds on a Single GPU, 2024). Pooling is omitted once a side of the image is a single pixel.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        stem: number of channels of a convolution before the stages; 0 omits it.
        channels: number of channels of each stage; the length is the number of stages.
        convolutions: number of convolutions per stage.
        activation: the activation function.
        normalization: the normalization after each convolution.
        dropout: dropout rate before the output.
        initialization: initialization of the weights.
        channels_last: store tensors in channels-last memory format, which is faster on most devices.
    """

    accepts: ClassVar = {"image", "audio"}
    search_space: ClassVar = {
        "channels": "[16,32,64],[32,64,128],[64,128,256]",
        "convolutions": "1,2,3",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        stem: Annotated[int, Ge(0)] = 16,
        channels: Annotated[Sequence[Size], MinLen(1)] = (32, 64, 128),
        convolutions: Depth = 2,
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        initialization: Initialization = "he",
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        inputs, *sides = input_shape
        features: list[nn.Module] = []

        def convolve(outputs: int, *, pool: bool = False) -> None:
            nonlocal inputs
            convolution, *norm = shared.convolution(normalization, inputs, outputs)
            features.extend([convolution, *([nn.MaxPool2d(2)] if pool else []), *norm])
            features.append(shared.activation(activation))
            inputs = outputs

        if stem:
            convolve(stem)
        for outputs in channels:
            convolve(outputs, pool=min(sides) > 1)
            sides = [side // 2 if min(sides) > 1 else side for side in sides]
            for _ in range(convolutions - 1):
                convolve(outputs)
        self.features = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(inputs, num_outputs))
        initialize(self, initialization)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, num_outputs)`."""
        return self.head(self.features(x))

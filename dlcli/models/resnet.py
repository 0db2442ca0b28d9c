"""Residual network for small images (He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from dlcli.models import layers as shared
from dlcli.models.layers import Activation, Depth, Initialization, Normalization, Share, Size, initialize


class ResNet(nn.Module):
    """Residual network: a convolution, stages of residual blocks, global average pooling, and a linear output.

    Each stage except the first halves height and width. With `channels` (16, 32, 64), n `blocks` per stage give the
    paper's network of 6n + 2 layers; 3 give its ResNet-20.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        channels: number of channels of each stage; the length is the number of stages.
        blocks: number of residual blocks per stage, with two convolutions each.
        activation: the activation function.
        normalization: the normalization after each convolution.
        dropout: dropout rate before the output.
        initialization: initialization of the weights.
        channels_last: store tensors in channels-last memory format, which is faster on most devices.
    """

    accepts: ClassVar = {"image", "audio"}
    search_space: ClassVar = {
        "channels": "[16,32,64],[32,64,128]",
        "blocks": "1,2,3",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        channels: Annotated[Sequence[Size], MinLen(1)] = (16, 32, 64),
        blocks: Depth = 1,
        activation: Activation = "relu",
        normalization: Normalization = "batch",
        dropout: Share = 0.0,
        initialization: Initialization = "he",
        channels_last: bool = False,
    ) -> None:
        super().__init__()

        def convolve(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
            return shared.convolution(normalization, inputs, outputs, kernel, stride)

        features = [*convolve(input_shape[0], channels[0]), shared.activation(activation)]
        inputs = channels[0]
        for stage, outputs in enumerate(channels):
            for number in range(blocks):
                stride = 2 if stage > 0 and number == 0 else 1
                block = nn.Sequential(
                    *convolve(inputs, outputs, stride=stride),
                    shared.activation(activation),
                    *convolve(outputs, outputs),
                )
                same = inputs == outputs and stride == 1
                shortcut = None if same else nn.Sequential(*convolve(inputs, outputs, 1, stride))
                features += [shared.Residual(block, shortcut), shared.activation(activation)]
                inputs = outputs
        self.features = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(*shared.dropout(dropout), nn.Linear(inputs, num_outputs))
        initialize(self, initialization)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, num_outputs)`."""
        return self.head(self.features(x))

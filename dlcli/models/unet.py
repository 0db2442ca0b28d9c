"""U-Net for images, with an output for each pixel (Ronneberger, Fischer and Brox, 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import MinLen
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models import layers as shared
from dlcli.models.layers import Activation, Normalization, Share, Size


class UNet(nn.Module):
    """Blocks of two convolutions that halve the image, the same upwards again, with what each block saw beside it.

    Images of any size are padded to a multiple of the coarsest block's, and outputs are cropped.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits for each pixel.
        channels: number of channels of each block, from the full size on; the length is the number of blocks.
        stem: side of the squares of pixels that the first convolution makes one of: 1 works at the full size; 2 takes a
            quarter of the time, and outputs are interpolated to the full size.
        normalization: the normalization between a convolution and its activation.
        activation: the activation function.
        upsampling: `bilinear` interpolates before a convolution, `transposed` is a learned transposed convolution.
        dropout: dropout rate of the coarsest block.
        channels_last: store tensors in channels-last memory format, which is faster on most devices.
    """

    accepts: ClassVar = {"image"}
    targets: ClassVar = {"segmentation"}
    search_space: ClassVar = {
        "channels": "[16,32,64,128],[16,32,64,128,256],[32,64,128,256]",
        "stem": "1,2",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        channels: Annotated[Sequence[Size], MinLen(1)] = (16, 32, 64, 128, 256),
        stem: Literal[1, 2, 4] = 1,
        normalization: Normalization = "batch",
        activation: Activation = "relu",
        upsampling: Literal["bilinear", "transposed"] = "bilinear",
        dropout: Share = 0.0,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.stem = stem

        def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
            layers: list[nn.Module] = []
            for own, step in ((inputs, stride), (outputs, 1)):
                kernel = 3 if step == 1 else 2 * step - 1
                convolution = shared.convolution(normalization, own, outputs, kernel, step)
                layers += [*convolution, shared.activation(activation)]
            return nn.Sequential(*layers)

        self.down = nn.ModuleList([block(input_shape[0], channels[0], stem)])
        self.down += [block(coarse, fine) for coarse, fine in pairwise(channels)]
        self.dropout = nn.Sequential(*shared.dropout(dropout))
        upwards = list(zip(channels[::-1], channels[-2::-1], strict=False))
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, 2)
            if upsampling == "transposed"
            else nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(coarse, fine, 1))
            for coarse, fine in upwards
        )
        self.up = nn.ModuleList(block(2 * fine, fine) for _, fine in upwards)
        self.head = nn.Conv2d(channels[0], num_outputs, 1)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, num_outputs, H, W)`."""
        height, width = x.shape[-2:]
        multiple = self.stem << (len(self.down) - 1)
        x = functional.pad(x, (0, -width % multiple, 0, -height % multiple))
        seen = []
        for number, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if number else x)
            seen.append(x)
        x = self.dropout(seen.pop())
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            x = block(torch.cat([enlarge(x), seen.pop()], dim=1))
        x = self.head(x)
        if self.stem > 1:
            x = functional.interpolate(x, scale_factor=float(self.stem), mode="bilinear")
        return x[..., :height, :width]

"""A class-conditional rectified flow with a small U-Net: images from noise in few steps (Liu et al., 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models.layers import Share, Size, normalization


class Diffusion(nn.Module):
    """Rectified flow: a learned velocity field `dx/dt = v(x, t)` from noise (t = 0) to images (t = 1).

    The loss is that of flow matching along straight lines `x = t image + (1 - t) noise` (Lipman et al., 2023), with
    times from a logit-normal distribution (Esser et al., 2024). Images are generated with Heun's method.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: number of classes.
        channels: number of channels of each block, from the finest on; each next block has half the side.
        patch: patch size in pixels of the U-Net's input: 1 is the finest; 2 takes a quarter of the time.
        steps: number of integration steps per image, with two evaluations of the U-Net each.
        guidance: scale of classifier-free guidance (Ho and Salimans, 2022): 1 disables it; larger values give clearer
            and less diverse images and take twice the time.
        class_dropout: share of training rows without their class, required for guidance.
        channels_last: store tensors in channels-last memory format, which is faster on most devices.
    """

    accepts: ClassVar = {"image"}
    targets: ClassVar = {"generate"}
    task: ClassVar = "generate"
    takes_raw: ClassVar = True
    search_space: ClassVar = {
        "channels": "[32,64],[48,96],[64,128]",
        "steps": "5,10,20",
        "guidance": "1.0,1.5,2.0",
    }

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        channels: Annotated[Sequence[Size], MinLen(1)] = (32, 64),
        patch: Size = 1,
        steps: Size = 10,
        guidance: Annotated[float, Ge(1)] = 1.0,
        class_dropout: Share = 0.1,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        if guidance > 1 and class_dropout == 0:
            raise ValueError(
                "guidance requires training rows without a class: set class_dropout, such as 0.1"
            )
        self.noise_shape = tuple(input_shape)
        self.steps, self.guidance, self.class_dropout = steps, guidance, class_dropout
        self.hidden_class = num_outputs
        self.unet = FlowUNet(input_shape[0], num_outputs + 1, channels, patch)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the velocity `(N, C, H, W)` at t = 0.5 for pixels and classes; used for the model's summary."""
        codes = torch.zeros(len(x), dtype=torch.long, device=x.device) if y is None else y[:, 0]
        return self.unet(x.float() / 127.5 - 1, torch.full((len(x),), 0.5, device=x.device), codes)

    def loss(self, images: Tensor, y: Tensor) -> Tensor:
        """Return the mean squared error of the velocity, a scalar, for images from -1 to 1 and their classes."""
        noise = torch.randn_like(images)
        time = torch.randn(len(images), device=images.device).sigmoid()
        share = time[:, None, None, None]
        if self.training and self.class_dropout:
            hidden = torch.rand(len(y), device=y.device) < self.class_dropout
            y = torch.where(hidden, self.hidden_class, y)
        found = self.unet(torch.lerp(noise, images, share), time, y)
        return functional.mse_loss(found, images - noise)

    def make(self, noise: Tensor, y: Tensor) -> Tensor:
        """Return images `(N, C, H, W)`, about from -1 to 1, from noise of this shape and classes `(N,)`."""
        x, length = noise, 1 / self.steps
        for step in range(self.steps):
            before, after = step * length, (step + 1) * length
            first = self._direction(x, before, y)
            second = self._direction(x + length * first, after, y)
            x = x + length * (first + second) / 2
        return x

    def _direction(self, x: Tensor, time: float, y: Tensor) -> Tensor:
        # Of `shape`, since `len` would fix the number of rows of an exported program.
        times = torch.full((x.shape[0],), time, device=x.device)
        found: Tensor = self.unet(x, times, y)
        if self.guidance == 1:
            return found
        without = self.unet(x, times, torch.full_like(y, self.hidden_class))
        return torch.lerp(without, found, self.guidance)


class FlowUNet(nn.Module):
    """U-Net with residual blocks that are conditioned on time and class."""

    def __init__(self, depth: int, classes: int, channels: Sequence[int], patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.multiple = patch << (len(channels) - 1)
        width = 2 * channels[-1]
        self.frequencies = channels[0] // 2 or 1
        self.time = nn.Sequential(nn.Linear(2 * self.frequencies, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = nn.Embedding(classes, width)
        self.first = nn.Conv2d(depth * patch**2, channels[0], 3, padding=1)
        self.down = nn.ModuleList(FlowBlock(count, count, width) for count in channels)
        self.halve = nn.ModuleList(nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in pairwise(channels))
        self.middle = FlowBlock(channels[-1], channels[-1], width)
        self.up = nn.ModuleList(FlowBlock(2 * count, count, width) for count in channels[::-1])
        self.enlarge = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1) for coarse, fine in pairwise(channels[::-1])
        )
        self.last = nn.Sequential(
            *normalization("group", channels[0], 2),
            nn.SiLU(),
            nn.Conv2d(channels[0], depth * patch**2, 3, padding=1),
        )

    def forward(self, x: Tensor, time: Tensor, y: Tensor) -> Tensor:
        """Return the velocity `(N, C, H, W)` for images of any size, times `(N,)` from 0 to 1 and classes `(N,)`."""
        height, width = x.shape[-2:]
        x = functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        condition = functional.silu(self.time(self._waves(time)) + self.classes(y))
        x = self.first(functional.pixel_unshuffle(x, self.patch))
        seen = []
        for number, block in enumerate(self.down):
            x = block(self.halve[number - 1](x) if number else x, condition)
            seen.append(x)
        x = self.middle(x, condition)
        for number, block in enumerate(self.up):
            if number:
                x = self.enlarge[number - 1](functional.interpolate(x, scale_factor=2.0))
            x = block(torch.cat([x, seen.pop()], dim=1), condition)
        return functional.pixel_shuffle(self.last(x), self.patch)[..., :height, :width]

    def _waves(self, time: Tensor) -> Tensor:
        """Return sines and cosines of the time, with periods from 1/100 to 100 (Vaswani et al., 2017)."""
        powers = torch.linspace(0, 1, self.frequencies, device=time.device)
        angles = time[:, None] * 100 * torch.exp(-math.log(1e4) * powers)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class FlowBlock(nn.Module):
    """Residual block of two convolutions; the input of the second one is scaled and shifted by the condition."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.before = nn.Sequential(
            *normalization("group", inputs, 2), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.norm = nn.Sequential(*normalization("group", outputs, 2))
        self.condition = nn.Linear(condition, 2 * outputs)
        self.after = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        for parameter in self.after.parameters():
            nn.init.zeros_(parameter)  # so that each block is the identity at first

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map `(N, inputs, H, W)` to `(N, outputs, H, W)`."""
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm(self.before(x)) * (1 + scale) + shift
        return self.shortcut(x) + self.after(functional.silu(hidden))

"""A class-conditional DCGAN: generator and discriminator of convolutions, trained in turns (Radford et al., 2016)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt, MinLen
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from dlcli.models.layers import Size
from dlcli.training.turns import Turn


class DCGAN(nn.Module):
    """Generator of images of given classes from noise, with a discriminator that learns to distinguish them from real
    ones.

    The discriminator is conditioned on the class by projection (Miyato and Koyama, 2018).

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: number of classes.
        channels: number of channels of each block, from the finest on; each block halves the image.
        noise: size of the noise vector of an image.
        loss: `hinge` (Lim and Ye, 2017) or `bce`, the non-saturating loss (Goodfellow et al., 2014).
        spectral: whether the discriminator uses spectral normalization (Miyato et al., 2018), one more layer, and sums
            of features over the image, instead of batch normalization and features at each place.
        discriminator_lr: learning rate of the discriminator, as a multiple of `optimizer.lr` (Heusel et al., 2017).
        channels_last: store tensors in channels-last memory format, which is faster on most devices.
    """

    accepts: ClassVar = {"image"}
    targets: ClassVar = {"generate"}
    task: ClassVar = "generate"
    takes_raw: ClassVar = True
    trained_in_turns: ClassVar = ("discriminator", "generator")
    # The losses of a GAN do not indicate the best epoch, because each depends on the other network.
    monitor: ClassVar = "val/frechet"
    loss_arguments: ClassVar = {"loss"}
    search_space: ClassVar = {
        "channels": "[32,64],[64,128],[96,192]",
        "noise": "32,64,128",
        "discriminator_lr": "interval(0.5,4)",
    }

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        channels: Annotated[Sequence[Size], MinLen(1)] = (64, 128),
        noise: Size = 64,
        loss: Literal["hinge", "bce"] = "bce",
        spectral: bool = False,
        discriminator_lr: Annotated[float, Gt(0)] = 1.0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.noise_shape = (noise,)
        self.lr_shares: Mapping[str, float] = {"discriminator": discriminator_lr}
        self._hinge = loss == "hinge"
        self.generator = Generator(input_shape, num_outputs, channels, noise)
        self.discriminator = Discriminator(input_shape, num_outputs, channels, spectral=spectral)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the discriminator's outputs `(N,)` for one generated image per row; used for the model's summary."""
        codes = torch.zeros(len(x), dtype=torch.long, device=x.device) if y is None else y[:, 0]
        return self.discriminator(self._drawn(codes), codes)

    def make(self, noise: Tensor, y: Tensor) -> Tensor:
        """Return images `(N, C, H, W)` from -1 to 1, from noise `(N, noise)` and classes `(N,)`."""
        return self.generator(noise, y)

    def turns(self, images: Tensor, y: Tensor) -> Iterator[Turn]:
        """Yield the losses of the discriminator and the generator for real images from -1 to 1 and their classes."""
        made = self._drawn(y)
        if self.discriminator.places:  # batch statistics of real and of made images
            real, fake = self.discriminator(images, y), self.discriminator(made.detach(), y)
        else:
            real, fake = self.discriminator(torch.cat([images, made.detach()]), torch.cat([y, y])).chunk(2)
        if self._hinge:
            yield Turn("discriminator", functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())
            yield Turn("generator", -self.discriminator(made, y).mean())
        else:
            yield Turn("discriminator", functional.softplus(-real).mean() + functional.softplus(fake).mean())
            yield Turn("generator", functional.softplus(-self.discriminator(made, y)).mean())

    def _drawn(self, y: Tensor) -> Tensor:
        return self.generator(torch.randn(len(y), *self.noise_shape, device=y.device), y)


class Generator(nn.Module):
    """Generator of an image from noise and a class, by transposed convolutions that double the resolution."""

    def __init__(
        self, image: tuple[int, int, int], classes: int, channels: Sequence[int], noise: int
    ) -> None:
        super().__init__()
        depth, self.height, self.width = image
        self.classes = classes
        coarse = 1 << len(channels)
        start = math.ceil(self.height / coarse), math.ceil(self.width / coarse)
        self.start = nn.Sequential(
            nn.Linear(noise + classes, channels[-1] * start[0] * start[1], bias=False),
            nn.Unflatten(1, (channels[-1], *start)),
            nn.BatchNorm2d(channels[-1]),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for inputs, outputs in zip(channels[::-1], channels[-2::-1], strict=False):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
            layers.append(nn.ReLU())
        self.blocks = nn.Sequential(*layers, nn.ConvTranspose2d(channels[0], depth, 4, 2, 1), nn.Tanh())

    def forward(self, noise: Tensor, y: Tensor) -> Tensor:
        """Return images `(N, C, H, W)` from -1 to 1."""
        classes = functional.one_hot(y, self.classes).to(noise.dtype)
        return self.blocks(self.start(torch.cat([noise, classes], dim=1)))[..., : self.height, : self.width]


class Discriminator(nn.Module):
    """Discriminator of an image and its class; its output is positive for real images."""

    def __init__(
        self, image: tuple[int, int, int], classes: int, channels: Sequence[int], *, spectral: bool
    ) -> None:
        super().__init__()

        def normalized(layer: nn.Module) -> nn.Module:
            return spectral_norm(layer) if spectral else layer

        layers: list[nn.Module] = []
        inputs, height, width = image
        for step, outputs in enumerate(channels):
            layers.append(normalized(nn.Conv2d(inputs, outputs, 4, 2, 1)))
            layers += [nn.BatchNorm2d(outputs)] if step and not spectral else []
            layers.append(nn.LeakyReLU(0.2))
            inputs, height, width = outputs, height // 2, width // 2
        if spectral:
            layers += [normalized(nn.Conv2d(inputs, inputs, 3, 1, 1)), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.places = not spectral
        features = inputs * height * width if self.places else inputs
        self.output = normalized(nn.Linear(features, 1))
        self.classes = normalized(nn.Embedding(classes, features))
        if not spectral:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    nn.init.normal_(module.weight, std=0.02)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        """Return one number per image `(N,)`."""
        found = self.features(images)
        features = found.flatten(1) if self.places else found.sum(dim=(2, 3))
        return self.output(features).squeeze(1) + (self.classes(y) * features).sum(dim=1)

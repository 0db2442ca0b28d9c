"""A plain training loop of a class-conditional DCGAN on MNIST, beside `experiment=mnist_gan` of dlcli.

    python bench/_scripts/dcgan_mnist.py MNIST/raw RUN EPOCHS

It does what a reader of PyTorch's DCGAN tutorial would write: batch normalization in both networks, binary
cross-entropy, two Adam optimizers with the tutorial's settings, labels as further input channels. RUN is the folder of
a run of `experiment=mnist_gan`, whose judge evaluates the images of the test rows' classes.
"""

from __future__ import annotations

import gzip
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import one_hot

from dlcli.inference.saved_model import load_model

NOISE, CLASSES, BATCH, RATE = 64, 10, 128, 2e-4


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Return images `(N, 1, 28, 28)` from 0 to 255 and classes `(N,)`."""
    images, labels = (
        np.frombuffer(
            gzip.decompress((folder / f"{part}-{name}-ubyte.gz").read_bytes()), np.uint8, offset=skip
        )
        for name, skip in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return torch.from_numpy(images.reshape(-1, 1, 28, 28).copy()), torch.from_numpy(labels.astype(np.int64))


class Generator(nn.Module):
    """Image from noise and a class."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(NOISE + CLASSES, 64, 7, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
            nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.layers(torch.cat([noise, one_hot(y, CLASSES).float()], dim=1)[..., None, None])
        return found


class Discriminator(nn.Module):
    """Logit of an image of a class: positive for real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1 + CLASSES, 32, 4, 2, 1), nn.LeakyReLU(0.2, True),
            nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2, True),
            nn.Conv2d(64, 1, 7), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        maps = one_hot(y, CLASSES).float()[..., None, None].expand(-1, -1, *images.shape[2:])
        found: Tensor = self.layers(torch.cat([images, maps], dim=1))
        return found


def initialized(network: Any) -> Any:
    """Return a network with the tutorial's initial weights."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.02)
    return network


@torch.no_grad()
def judged(generator: nn.Module, run: Path, images: Tensor, y: Tensor) -> dict[str, float]:
    """Return the metrics of one image for each test row, by the judge of a run."""
    task: Any = load_model(run / "model").task
    generator.eval()
    made = torch.cat([generator(torch.randn(len(some), NOISE), some) for some in y.split(500)])
    features, found = task.judge.judged(((made + 1) * 127.5).round().clamp(0, 255))
    header = torch.stack([torch.zeros(len(y)), y.float(), found.float()], dim=1)
    outputs = torch.cat([header, features, task.judge.judged(images)[0]], dim=1)
    metrics = task.metrics()
    for metric in metrics.values():
        metric.update(outputs, y)
    return {name: round(float(metric.compute()), 4) for name, metric in metrics.items()}


def main(folder: str, run: str, epochs: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, y = read(Path(folder), "train")
    started = time.process_time()
    generator, discriminator = initialized(Generator()), initialized(Discriminator())
    optimizers = [
        torch.optim.Adam(one.parameters(), RATE, (0.5, 0.999)) for one in (discriminator, generator)
    ]
    for epoch in range(int(epochs)):
        for rows in torch.randperm(len(images)).split(BATCH):
            real, classes = images[rows].float() / 127.5 - 1, y[rows]
            made = generator(torch.randn(len(rows), NOISE), classes)
            ones, zeros = torch.ones(len(rows)), torch.zeros(len(rows))
            loss = cross_entropy(discriminator(real, classes), ones)
            loss = loss + cross_entropy(discriminator(made.detach(), classes), zeros)
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            loss = cross_entropy(discriminator(made, classes), ones)
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
        print(f"epoch {epoch + 1}  CPU {time.process_time() - started:.0f} s", flush=True)
    print(judged(generator, Path(run), *read(Path(folder), "t10k")))


if __name__ == "__main__":
    main(*sys.argv[1:])

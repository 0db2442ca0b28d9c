"""Pieces that several models share: activation, normalisation, dropout, shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

Size = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
Normalization = Literal["none", "batch", "layer", "group"]

# One number for all of a model's layers, or each layer's own.
PerLayer = Size | Annotated[Sequence[Size], MinLen(1)]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}

# Batch normalisation by the number of dimensions that a value has beside its row and channel.
_BATCH_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)


def activation(name: Activation) -> nn.Module:
    """A new activation module."""
    return _ACTIVATIONS[name]()


def dropout(share: float) -> list[nn.Module]:
    """A dropout layer, or nothing where the share is 0: an idle module still costs a call in each step."""
    return [nn.Dropout(share)] if share > 0 else []


def normalization(kind: Normalization, channels: int, dimensions: int = 0) -> list[nn.Module]:
    """A normalisation of `(N, channels, ...)`, or nothing.

    `batch` measures each channel over the rows of a batch (Ioffe and Szegedy, 2015), `layer` all channels of one row
    (Ba et al., 2016), `group` some channels of one row (Wu and He, 2018): at most 8 groups, of at least 4 channels.

    Args:
        kind: which of them.
        channels: size of the second dimension.
        dimensions: how many more there are: 0 for units, 1 for steps, 2 for pixels.
    """
    if kind == "none":
        return []
    if kind == "batch":
        return [_BATCH_NORMS[dimensions](channels)]
    if kind == "layer" and dimensions == 0:
        return [nn.LayerNorm(channels)]
    fitting = (groups for groups in (8, 4, 2) if channels % groups == 0 and channels // groups >= 4)
    return [nn.GroupNorm(1 if kind == "layer" else next(fitting, 1), channels)]


class Residual(nn.Module):
    """`x + block(x)` (He et al., 2016); where the block changes the shape, `shortcut` brings x to the new one."""

    def __init__(self, block: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.block = block
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Shaped like the block's output."""
        return self.block(x) + (x if self.shortcut is None else self.shortcut(x))


def per_layer(value: int | Sequence[int], layers: int, name: str) -> list[int]:
    """One number a layer, from one number for all or a list with each layer's own.

    Raises:
        ValueError: the list has another length.
    """
    if isinstance(value, int):
        return [value] * layers
    if len(value) != layers:
        raise ValueError(
            f"{name} has {len(value)} numbers for {layers} layers: give one for all, or one for each"
        )
    return list(value)

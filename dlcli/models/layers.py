"""Building blocks shared by several models: activation, normalization, dropout, residual connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

Size = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
Normalization = Literal["none", "batch", "layer", "group"]

# One number for all layers of a model, or a list with one per layer.
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

# Batch normalization classes, indexed by the number of dimensions after the batch and channel dimensions.
_BATCH_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)


def activation(name: Activation) -> nn.Module:
    """Return a new activation module."""
    return _ACTIVATIONS[name]()


def dropout(share: float) -> list[nn.Module]:
    """Return a dropout layer, or no layer if the rate is 0, since an idle module still costs a call per step."""
    return [nn.Dropout(share)] if share > 0 else []


def normalization(kind: Normalization, channels: int, dimensions: int = 0) -> list[nn.Module]:
    """Return a normalization layer for inputs `(N, channels, ...)`, or no layer.

    `batch` normalizes each channel over the rows of a batch (Ioffe and Szegedy, 2015), `layer` all channels of a row
    (Ba et al., 2016), `group` groups of channels of a row (Wu and He, 2018): at most 8 groups, of at least 4 channels.

    Args:
        kind: kind of normalization.
        channels: size of the second dimension.
        dimensions: number of further dimensions: 0 for units, 1 for steps, 2 for pixels.
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
    """Residual connection `x + block(x)` (He et al., 2016).

    If the block changes the shape, `shortcut` maps x to the new shape.
    """

    def __init__(self, block: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.block = block
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor in the shape of the block's output."""
        return self.block(x) + (x if self.shortcut is None else self.shortcut(x))


def per_layer(value: int | Sequence[int], layers: int, name: str) -> list[int]:
    """Return one number per layer, from one number for all layers or a list with one per layer.

    Raises:
        ValueError: the list does not have one number per layer.
    """
    if isinstance(value, int):
        return [value] * layers
    if len(value) != layers:
        raise ValueError(
            f"{name} has {len(value)} numbers for {layers} layers: give one number for all, or one per layer"
        )
    return list(value)

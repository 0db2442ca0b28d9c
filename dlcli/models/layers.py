"""Layers shared by several models: initialization, embeddings, pooling, the interface of backbones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Le, Lt, MinLen
from torch import Tensor, nn

from dlcli.models.sequence_input import present

Size = Annotated[int, Ge(1)]
# Maximum number of layers; deeper networks of this kind cannot be trained.
Depth = Annotated[int, Ge(1), Le(1000)]
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
    """Return a dropout layer, or no layer if the rate is 0, because an idle module costs a call per step."""
    return [nn.Dropout(share)] if share > 0 else []


def encoder_layers(
    number: int,
    hidden: int,
    heads: int,
    feedforward: int,
    share: float,
    name: Activation,
    *,
    norm_first: bool = False,
) -> nn.ModuleList:
    """Return the encoder layers of a transformer, each with its own initial weights.

    `nn.TransformerEncoder` would copy one layer, so that all layers start with equal weights.
    """
    return nn.ModuleList(
        nn.TransformerEncoderLayer(
            hidden, heads, feedforward, share, activation(name), batch_first=True, norm_first=norm_first
        )
        for _ in range(number)
    )


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


def convolution(
    kind: Normalization, inputs: int, outputs: int, kernel: int = 3, stride: int = 1
) -> list[nn.Module]:
    """Return a convolution of images that only the stride makes smaller, and its normalization.

    Args:
        kind: kind of normalization.
        inputs: number of channels of the input.
        outputs: number of channels of the output.
        kernel: side of the square kernels in pixels, an odd number.
        stride: stride in pixels.
    """
    # Batch normalization subtracts a bias again.
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=kind != "batch")
    return [layer, *normalization(kind, outputs, dimensions=2)]


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
            f"{name} has {len(value)} numbers for {layers} layers: use one number for all layers, or one per layer"
        )
    return list(value)


Initialization = Literal["default", "he", "xavier", "orthogonal"]

_DRAW: dict[str, Callable[[Tensor], Tensor]] = {
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
}

_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention)


def initialize(model: nn.Module, kind: Initialization) -> None:
    """Initialize the weights of all dense, convolutional, recurrent and attention layers, and set their biases to 0.

    Args:
        model: changed in place; normalization layers and embeddings are left unchanged.
        kind: `he` (He et al., 2015, normal, for relu), `xavier` (Glorot and Bengio, 2010, uniform), `orthogonal` (Saxe
            et al., 2014), or `default`, torch's own initialization of each layer.
    """
    if kind == "default":
        return
    for module in model.modules():
        if isinstance(module, _WEIGHTED):
            for parameter in module.parameters(recurse=False):
                if parameter.ndim > 1:
                    _DRAW[kind](parameter)
                else:
                    nn.init.zeros_(parameter)


def width_of(cardinality: int) -> int:
    """Return the embedding size of a column with n codes: `min(50, 1.6 n^0.56)`, fastai's rule of thumb for tables."""
    return max(1, min(50, round(1.6 * cardinality**0.56)))


class CategoryVectors(nn.Module):
    """Embeddings of codes `(N, K)`, appended to the numbers `(N, F)`, which gives `(N, F + width)`.

    Code 0 denotes categories unseen in training; its embedding is 0.

    Args:
        cardinalities: number of codes of each of the K columns.

    Attributes:
        width: total size of a row's embeddings.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        sizes = [width_of(codes) for codes in cardinalities]
        self.width = sum(sizes)
        self.columns = nn.ModuleList(
            nn.Embedding(codes, size, padding_idx=0) for codes, size in zip(cardinalities, sizes, strict=True)
        )

    def forward(self, x: Tensor, x_cat: Tensor) -> Tensor:
        """Return the numbers followed by each column's embedding."""
        vectors = [column(x_cat[:, number]) for number, column in enumerate(self.columns)]
        return torch.cat([x, *vectors], dim=1)


Pooling = Literal["last", "mean", "max", "attention"]


class SequencePooling(nn.Module):
    """Pooling of `(N, T, F)` to `(N, F)`: the last step, the mean or maximum over steps, or an attention-weighted mean.

    For `attention`, the weights are the softmax over steps of a learned linear function of the states (Yang et al.,
    Hierarchical Attention Networks, 2016, without the hidden layer).
    """

    def __init__(self, kind: Pooling, features: int) -> None:
        super().__init__()
        self.kind = kind
        # No bias, because the softmax is invariant to a constant added to all scores.
        self.score = nn.Linear(features, 1, bias=False) if kind == "attention" else None

    def forward(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return one vector per row; steps beyond the row's length in `lengths` `(N,)` are ignored."""
        if lengths is None:
            return self._pool(states)
        if self.kind == "last":
            return states[torch.arange(states.shape[0], device=states.device), lengths - 1]
        padding = ~present(lengths, states.shape[1]).unsqueeze(2)
        if self.score is not None:
            weights = self.score(states).masked_fill(padding, -math.inf).softmax(dim=1)
            return (weights * states).sum(dim=1)
        if self.kind == "mean":
            return states.masked_fill(padding, 0).sum(dim=1) / lengths.unsqueeze(1)
        return states.masked_fill(padding, -math.inf).amax(dim=1)

    def _pool(self, states: Tensor) -> Tensor:
        if self.score is not None:
            return (self.score(states).softmax(dim=1) * states).sum(dim=1)
        if self.kind == "last":
            return states[:, -1]
        return states.mean(dim=1) if self.kind == "mean" else states.amax(dim=1)


@runtime_checkable
class HasBackbone(Protocol):
    """A model that consists of a pretrained backbone and a new head.

    `forward` takes either `x`, or `features`, the backbone's output for it.
    """

    backbone: nn.Module
    head: nn.Module

    def feature_settings(self) -> dict[str, Any]:
        """Return all settings that the features depend on besides the backbone's weights, in plain types."""

    def features(self, x: Tensor) -> Tensor:
        """Return the backbone's output for a batch, `(N, F)`."""

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Return the names of the backbone's parameters by layer, from input to output; `coarse`: by stage."""

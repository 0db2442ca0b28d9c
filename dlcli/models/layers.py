"""Pieces that several models share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation(name: Activation) -> nn.Module:
    """A new activation module."""
    return _ACTIVATIONS[name]()


def dropout(share: float) -> list[nn.Module]:
    """A dropout layer, or nothing where the share is 0: an idle module still costs a call in each step."""
    return [nn.Dropout(share)] if share > 0 else []


def sequence_shape(input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Steps and features of one row read as a sequence: `(T, F)` as it is, an image `(C, H, W)` as H rows of C * W."""
    if len(input_shape) == 3:
        channels, height, width = input_shape
        return height, channels * width
    steps, features = input_shape
    return steps, features


def as_sequence(x: Tensor) -> Tensor:
    """`(N, T, F)` as it is; images `(N, C, H, W)` as sequences of their rows, `(N, H, C * W)`."""
    return x.permute(0, 2, 1, 3).flatten(2) if x.ndim == 4 else x

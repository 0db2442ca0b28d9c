"""Weight initialization of new models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

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

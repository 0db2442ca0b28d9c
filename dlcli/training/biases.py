"""Distinguish weights, which are subject to weight decay and penalties, from biases.

Biases are marked, because optimizers receive parameters without names, and biases of layers with several sets of
weights have several dimensions.
"""

from __future__ import annotations

from torch import Tensor, nn


def mark_biases(model: nn.Module) -> None:
    """Mark the parameters of a model with names such as `bias`, `in_proj_bias` and `bias_hh_l0`."""
    for path, parameter in model.named_parameters():
        name = path.rpartition(".")[2]
        if name == "bias" or name.startswith("bias_") or name.endswith("_bias"):
            parameter.is_bias = True  # type: ignore[attr-defined]


def is_weight(parameter: Tensor) -> bool:
    """Return whether a parameter has several dimensions and is not marked as a bias.

    Scale and shift of a normalization have one dimension.
    """
    return parameter.ndim > 1 and not getattr(parameter, "is_bias", False)

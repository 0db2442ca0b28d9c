"""Check the sizes that a saved model's description declares, before memory is allocated for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from dlcli.config.build import build
from dlcli.errors import CorruptRun
from dlcli.formatting import amount
from dlcli.models.meta_device import on_meta

_DAMAGED = "The folder is incomplete or damaged: copy it again, or repeat the training."

# Parameters may share a tensor of the file, and buffers need not be in the file.
_TENSORS, _BUFFERS = 1000, 1 << 30


def check_declared_size(node: Mapping[str, Any], facts: Mapping[str, Any], weights: Path) -> None:
    """Check that a description's model is not larger than its weights, without allocating memory for it.

    Args:
        node: the section `model` of the description.
        facts: arguments that the model received from the data.
        weights: the file of weights.

    Raises:
        CorruptRun: The model is larger.
    """
    try:
        with on_meta(), within_size(weights):
            build(node, where="model", **facts, restored=True)
    except CorruptRun:
        raise
    except Exception:  # reported when the model is built, with the same limit
        return


@contextmanager
def within_size(weights: Path) -> Iterator[None]:
    """Within the context, no model can be built whose parameters are more or larger than those in a file of weights.

    Raises:
        CorruptRun: A module registers a parameter or a buffer that exceeds the size.
    """
    size, tensors = weights.stat().st_size, _tensors_in(weights)
    taken = {"parameters": 0, "bytes": 0, "buffers": 0}

    def look(what: str, values: Tensor | None, most: int) -> None:
        if values is None or isinstance(values, UninitializedParameter | UninitializedBuffer):
            return
        taken[what] += values.numel() * values.element_size()
        if taken[what] > most:
            declared = amount(taken[what])
            message = (
                f"the model's description is of a model of {declared}, but the file of weights is smaller"
            )
            raise CorruptRun(message, str(weights), _DAMAGED)

    def parameter(module: nn.Module, name: str, values: Tensor | None) -> None:
        taken["parameters"] += 1
        if tensors is not None and taken["parameters"] > 2 * tensors + _TENSORS:
            message = (
                f"the model's description is of a model with more parameters than the {tensors:,} in the file"
            )
            raise CorruptRun(message, str(weights), _DAMAGED)
        look("bytes", values, 2 * size)

    def buffer(module: nn.Module, name: str, values: Tensor | None) -> None:
        look("buffers", values, 2 * size + _BUFFERS)

    hooks = [
        register_module_parameter_registration_hook(parameter),
        register_module_buffer_registration_hook(buffer),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _tensors_in(weights: Path) -> int | None:
    """Return the number of tensors in a file; None if it is damaged, which is reported when it is loaded."""
    with suppress(Exception), safe_open(weights, "pt") as file:
        return len(file.keys())
    return None

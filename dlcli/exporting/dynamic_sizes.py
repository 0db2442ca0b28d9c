"""Sizes of a program's inputs that differ between batches: rows, steps, words, windows, samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from dlcli.models.recurrent_rows import SteppedLayers
from dlcli.training.fields import Batch

ROWS = "rows"

# The largest number of rows that a program accepts.
_MOST_ROWS = 1 << 20

# Padding of fields that have one size per step, word or window.
_PADDING = {"x": 0, "counts": 0, "firsts": -1, "places": -1, "segments": -1, "offsets": -1}

# Names of the dynamic dimensions of a row's outputs, by their unit.
_OUTPUT_SIZES = {
    "word": ("words",),
    "masked_token": ("words",),
    "step": ("steps",),
    "token": ("windows", "steps"),
}

# A field of an ensemble has the number of its group of members at the end.
_FIELD = re.compile(r"(\w+?)(_\d+)?")

# Name of each dynamic dimension of each field, as `{field: {dimension: name}}`.
SizeNames = Mapping[str, Mapping[int, str]]


def size_names(batch: Batch) -> SizeNames:
    """Return the names of the dynamic dimensions of each field; dimensions with the same name have the same size."""
    found = {}
    for name, values in batch.items():
        stem, group = field_parts(name)
        own = {0: ROWS}
        if f"segments{group}" in batch and stem in _PADDING:
            own |= {1: f"windows{group}", 2: f"steps{group}"}
        elif stem in ("x", "counts") and (f"lengths{group}" in batch or f"counts{group}" in batch):
            is_wave = values.dtype == torch.int16
            own[1] = f"samples{group}" if is_wave else f"steps{group}"
        elif f"lengths{group}" in batch and stem in ("firsts", "places"):
            own[1] = f"words{group}"
        found[name] = own
    return found


def field_parts(name: str) -> tuple[str, str]:
    """Return the name of a field without the group of an ensemble's members, and the ending of the group."""
    match = _FIELD.fullmatch(name)
    assert match
    return match[1], match[2] or ""


def dynamic_shapes(sizes: SizeNames) -> dict[str, dict[int, Any]]:
    """Return the dimensions for `torch.export`, which finds the limits of all but the number of rows."""
    rows = Dim(ROWS, min=1, max=_MOST_ROWS)
    return {
        field: {place: rows if name == ROWS else Dim.DYNAMIC for place, name in own.items()}
        for field, own in sizes.items()
    }


def widened(batch: Batch) -> dict[str, Tensor]:
    """Return a batch whose dynamic sizes are at least 2, except the number of rows: torch takes 1 for fixed."""
    found = dict(batch)
    for name, own in size_names(batch).items():
        values = found[name]
        padding: list[int] = []
        for place in range(values.ndim - 1, 0, -1):
            padding += [0, max(0, 2 - values.shape[place]) if place in own else 0]
        if any(padding):
            found[name] = functional.pad(values, padding, value=_PADDING[field_parts(name)[0]])
    return found


def with_stepped_layers(module: nn.Module) -> None:
    """Replace the recurrent layers of torch in a module, which programs would unroll to a fixed number of steps."""
    for name, child in list(module.named_children()):
        if SteppedLayers.fits(child):
            assert isinstance(child, nn.RNNBase)
            setattr(module, name, SteppedLayers(child))
        else:
            with_stepped_layers(child)


def named_shape(values: Tensor, names: Mapping[int, int | str]) -> list[int | str]:
    """Return the shape of a field, with names for dynamic dimensions."""
    return [names.get(place, size) for place, size in enumerate(values.shape)]


def output_shape(shape: tuple[int, ...], outputs_of: str) -> list[int | str]:
    """Return the shape of the outputs of some rows, given that of one row and the unit of the outputs."""
    names = _OUTPUT_SIZES.get(outputs_of, ())
    return [ROWS, *names, *shape[len(names) :]]

"""Checks of the sizes that a saved model's description declares, before memory is taken for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from dlcli.config.build import build
from dlcli.errors import CorruptRun
from dlcli.formatting import amount

_DAMAGED = "The folder is incomplete or damaged: copy it again, or repeat the training."
_LARGEST = 1 << 31  # of a dimension


def is_shape(value: Any) -> bool:
    """Return whether a value is the shape of a row; dimensions that differ between rows are 0."""
    return isinstance(value, list) and all(type(size) is int and 0 <= size < _LARGEST for size in value)


def check_declared_size(node: Mapping[str, Any], facts: Mapping[str, Any], weights: Path) -> None:
    """Check that a description is not of a larger model than its weights.

    Args:
        node: the section `model` of the description.
        facts: arguments that the model received from the data.
        weights: the file of weights.

    Raises:
        CorruptRun: It is.
    """
    size = 0
    with (
        suppress(Exception),
        torch.device("meta"),
    ):  # models that cannot be built without memory are not checked
        model = build(node, where="model", **facts, restored=True)
        size = sum(values.numel() * values.element_size() for values in model.parameters())
    if size > 2 * weights.stat().st_size:
        what = f"the model's description is of a model of {amount(size)}, but the file of weights is smaller"
        raise CorruptRun(what, str(weights), _DAMAGED)

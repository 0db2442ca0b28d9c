"""Resolve `auto` in the descriptions of models that earlier versions saved, from the shapes of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors import safe_open

from dlcli.config.build import TARGET, locate


@runtime_checkable
class ReadsItsShapes(Protocol):
    """A model whose arguments `auto` can be determined from the shapes of its weights."""

    @staticmethod
    def automatic_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Return the values of the arguments that may be `auto`, given the shape of each weight."""


def without_auto(model: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """Return the section `model` of a description with each `auto` replaced by its value.

    The rule for `auto` may have changed since the model was trained, so the value follows from the weights.
    """
    kind: Any = locate(model[TARGET])
    if not isinstance(kind, ReadsItsShapes) or "auto" not in map(str, model.values()):
        return dict(model)
    with safe_open(weights, framework="pt") as opened:
        shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    found = kind.automatic_of(shapes)
    return {
        name: found[name] if value == "auto" and name in found else value for name, value in model.items()
    }

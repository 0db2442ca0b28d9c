"""Saved models of earlier versions, whose description has `auto` instead of what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors import safe_open

from dlcli.config.build import TARGET, locate


@runtime_checkable
class ReadsItsShapes(Protocol):
    """A model whose weights tell what `auto` meant when it was trained."""

    @staticmethod
    def automatic_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Return the arguments that may be `auto`, from the shapes of the weights by name."""


def without_auto(model: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """Return the section `model` of a description with what `auto` meant in place of it.

    The rule may have changed since, so that the weights decide.
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

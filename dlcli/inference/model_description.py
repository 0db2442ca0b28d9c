"""The description of a saved model: `model.json` and `labels.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from safetensors import safe_open

from dlcli.config.build import TARGET, locate
from dlcli.datasets.data import Kind
from dlcli.errors import CorruptRun
from dlcli.gate.documents import JSON_BYTES, read_json, read_text

DESCRIPTION, LABELS = "model.json", "labels.json"
DAMAGED_MODEL = "The folder is incomplete or damaged: copy it again, or repeat the training."

_KINDS = get_args(Kind)
_LARGEST = 1 << 31  # maximum size of a dimension
_IMAGE = 3  # dimensions of an image: channels, height, width


@runtime_checkable
class ReadsItsShapes(Protocol):
    """A model whose arguments `auto` can be determined from the shapes of its weights."""

    @staticmethod
    def automatic_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Return the values of the arguments that may be `auto`, given the shape of each weight."""


def read_task_facts(folder: Path) -> dict[str, Any]:
    """Return the task's facts of the targets, in plain types: classes, means and deviations, thresholds."""
    description = read_description(folder)
    return {**description["task_facts"], "classes": _labels(folder)}


def read_description(folder: Path) -> dict[str, Any]:
    """Read `model.json` and check its structure, but not the content of its sections."""
    file = folder / DESCRIPTION
    found = read_json(file, "the model's description")
    sections = ("model", "task", "model_facts", "task_facts")
    if not all(isinstance(found.get(name), dict) for name in sections) or found.get("kind") not in _KINDS:
        raise CorruptRun("the model's description lacks required keys", str(file), DAMAGED_MODEL)
    shape = found["model_facts"].get("input_shape")
    if not _is_shape(shape) or (found["kind"] == "image" and len(shape) != _IMAGE):
        raise CorruptRun(
            "the model's description has no shape of a row of its kind", str(file), DAMAGED_MODEL
        )
    return found


def without_auto(model: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """Return the section `model` of a description with each `auto` replaced by its value.

    Only models of earlier versions have `auto`. The rule for it may have changed since they were trained, so the value
    follows from the shapes of the weights.
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


def _is_shape(value: Any) -> bool:
    """Return whether a value is the shape of a row; dimensions that differ between rows are 0."""
    return isinstance(value, list) and all(type(size) is int and 0 <= size < _LARGEST for size in value)


def _labels(folder: Path) -> list[str]:
    """Read `labels.json`: names in the order of their codes."""
    file = folder / LABELS
    try:
        labels = json.loads(read_text(file, JSON_BYTES, "the file of labels"))
    except (ValueError, RecursionError) as error:
        raise CorruptRun("the file of labels cannot be read", str(file), DAMAGED_MODEL) from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CorruptRun("the file of labels does not hold a list of names", str(file), DAMAGED_MODEL)
    return labels

"""Modules that turn a network's outputs into predictions, and are exported with the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.errors import InputError
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.ctc import CTC
from dlcli.tasks.forecast import Forecast
from dlcli.tasks.mask_files import class_colours
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.tasks.segmentation import Segmentation
from dlcli.tasks.tag import Tag

# Columns of predictions that the script computes, with their kinds.
_TEXTS: dict[type[Task], dict[str, str]] = {
    CTC: {"prediction": "text", "confidence": "number", "log_probability": "number"},
    Tag: {"text": "text", "tags": "text", "entities": "text"},
}

# Differences of the shares of classes of up to 0.2 % of the pixels are tolerated: those where two are equally likely.
_PIXELS = 20.0

# The hint where no bundle can be made.
INSTEAD = "Export the network alone: --output model.onnx"


class _Probabilities(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, outputs: Tensor) -> Tensor:
        if self.kind == "multiclass":
            return outputs.float().softmax(dim=1)
        found = outputs.float().sigmoid()
        return torch.cat([1 - found, found], dim=1) if self.kind == "binary" else found


class _Units(nn.Module):
    """Sorted quantiles in the user's unit, in double precision."""

    scale: Tensor
    center: Tensor

    def __init__(self, scale: np.ndarray, center: np.ndarray, quantiles: int) -> None:
        super().__init__()
        self.quantiles = quantiles
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64).reshape(1, -1, 1))
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64).reshape(1, -1, 1))

    def forward(self, outputs: Tensor) -> Tensor:
        found = outputs.reshape(-1, self.scale.shape[1], self.quantiles)
        if self.quantiles > 1:
            found = found.sort(dim=-1).values
        return (found.double() * self.scale + self.center).flatten(1)


class _LogProbabilities(nn.Module):
    """Logarithms of the probabilities of the symbols of each step, which the script decodes."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.float().log_softmax(dim=2)


class _Tags(nn.Module):
    """The code of the tag of each word."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(dim=2)


class _Codes(nn.Module):
    """The class of each pixel as bytes."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(dim=1).to(torch.uint8)


class _Steps(nn.Module):
    """Forecasts in the user's unit, in double precision: for each step the predictions, then each quantile."""

    scale: Tensor
    center: Tensor

    def __init__(
        self, scale: np.ndarray, center: np.ndarray, horizon: int, quantiles: int, point: int
    ) -> None:
        super().__init__()
        self.horizon, self.quantiles, self.point = horizon, quantiles, point
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64))

    def forward(self, outputs: Tensor) -> Tensor:
        found = outputs.reshape(-1, self.horizon, len(self.scale), max(1, self.quantiles))
        if self.quantiles:
            found = found.sort(dim=-1).values
        values = found.transpose(2, 3).double() * self.scale + self.center
        if self.quantiles:
            values = torch.cat([values[:, :, self.point : self.point + 1], values], dim=2)
        return values.flatten(2)


def head_of(task: Task) -> nn.Module:
    """Return the head for a task.

    Raises:
        InputError: The task is user-defined, or has no single prediction per row.
    """
    kinds = {Binary: "binary", Multiclass: "multiclass", Multilabel: "multilabel"}
    if type(task) in kinds:
        return _Probabilities(kinds[type(task)])
    if type(task) is Regression:
        facts: Any = task
        return _Units(facts._scale, facts._center, max(1, len(task.quantiles)))
    if type(task) is Forecast:
        known: Any = task
        return _Steps(known._std, known._mean, task.horizon, len(task.quantiles), known._point)
    if type(task) is CTC:
        return _LogProbabilities()
    if type(task) is Segmentation:
        return _Codes()
    if type(task) is Tag:
        return _Tags()
    raise InputError(
        f"predictions of {type(task).__name__} cannot be computed in the graph",
        "--bundle",
        INSTEAD,
    )


def output_columns(task: Any, head: nn.Module) -> list[dict[str, Any]]:
    """Return the columns of the predictions, each with its computation from the head's outputs.

    Numeric columns have a `center` and a `scale`, relative to which differences are tolerated: the values of a target
    such as a timestamp vary little compared to their mean.
    """
    found: list[dict[str, Any]] = []
    texts = _TEXTS.get(type(task), {})
    if texts:
        return [
            {"name": name, "kind": kind, "index": place, "center": 0.0, "scale": 1.0}
            for place, (name, kind) in enumerate(texts.items())
        ]
    if isinstance(task, Segmentation):
        return [{"name": f"share({name})", "kind": "number", "index": place, "center": 0.0, "scale": _PIXELS}
                for place, name in enumerate(task.classes)]  # fmt: skip
    if isinstance(head, _Steps):
        empty = torch.zeros(1, task.horizon * len(head.scale) * max(1, head.quantiles))
        names = task.predictions(empty).columns
        found += [{"name": "step", "kind": "number", "index": 0, "center": 0.0, "scale": 1.0}]
        for place, name in enumerate(names[1:]):
            target = place % len(head.scale)
            unit = {"center": float(head.center[target]), "scale": float(head.scale[target])}
            found.append({"name": str(name), "kind": "number", "index": place + 1, **unit})
        return found
    outputs = torch.randn(64, task.num_outputs, generator=torch.Generator().manual_seed(0))
    numbers, table = head(outputs).numpy(), task.predictions(outputs)
    for name in table.columns:
        column: dict[str, Any] = {"name": str(name)}
        if type(task) is Multilabel and str(name).startswith("prediction("):
            label = len(found) // 2
            column |= {
                "kind": "above",
                "index": label,
                "above": float(task.thresholds[label]),
                "names": [0, 1],
            }
        elif name == "prediction" and type(task) is Binary:
            above = float(np.float32(task.threshold))
            column |= {"kind": "above", "index": 1, "above": above, "names": list(task.classes)}
        elif name == "prediction" and type(task) is Multiclass:
            column |= {"kind": "largest", "names": list(task.classes)}
        else:
            values = table[name].to_numpy(np.float64)
            apart = np.abs(numbers - values[:, None]).max(axis=0)
            column |= {"kind": "number", "index": int(apart.argmin()), **_unit(head, int(apart.argmin()))}
        found.append(column)
    return found


def _unit(head: nn.Module, index: int) -> dict[str, float]:
    if not isinstance(head, _Units):
        return {"center": 0.0, "scale": 1.0}
    target = index // head.quantiles
    return {"center": float(head.center.flatten()[target]), "scale": float(head.scale.flatten()[target])}


def computing_of(task: Task) -> tuple[str, dict[str, Any]]:
    """Return the file in `bundle_files` that computes predictions, and its settings in `bundle.json`."""
    if isinstance(task, CTC):
        between = "" if task.units == "characters" else " "
        return "ctc.txt", {"symbols": list(task.symbols), "between": between, "beam": task.beam}
    if isinstance(task, Tag):
        return "tags.txt", {"classes": list(task.classes)}
    if isinstance(task, Segmentation):
        return "masks.txt", {"colours": class_colours(task.num_outputs).ravel().tolist()}
    return ("forecast.txt" if isinstance(task, Forecast) else "network.txt"), {}

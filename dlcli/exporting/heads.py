"""Modules that turn a network's outputs into predictions, and are exported with the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.errors import InputError
from dlcli.exporting.exported_program import Inputs
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.training.network import Network


class WithHead(Inputs):
    """A network that returns the numbers of a prediction, `(N, C)`."""

    def __init__(self, network: Network, head: nn.Module) -> None:
        super().__init__(network)
        self.head = head

    def forward(
        self,
        x: Tensor,
        x_cat: Tensor | None = None,
        counts: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return the numbers of a batch with these fields."""
        return self.head(super().forward(x, x_cat, counts, lengths))


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
    outputs = torch.randn(64, task.num_outputs, generator=torch.Generator().manual_seed(0))
    numbers, table = head(outputs).numpy(), task.predictions(outputs)
    found: list[dict[str, Any]] = []
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

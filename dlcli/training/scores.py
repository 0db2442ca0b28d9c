"""Loss and metrics of many rows, computed once and not batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from dlcli.distributed.world import summed
from dlcli.tasks.base import Task

# Outputs are kept until there are so many values of them, and then counted in one go.
_VALUES = 1 << 22

_SINGLE_ONLY = ("mps",)


def counting_device(device: torch.device) -> torch.device:
    """Where figures of outputs on `device` are summed: there, but for Apple's GPUs, which have no double precision."""
    return torch.device("cpu") if device.type in _SINGLE_ONLY else device


class Scores:
    """Collects outputs and encoded targets; `compute` gives the mean loss and metrics over all rows.

    Nothing here waits for the device before `compute`, unless what was kept has to be counted on the CPU.

    Args:
        task: whose loss and metrics.
        names: of the metrics; default all.
    """

    def __init__(self, task: Task, names: Sequence[str] | None = None) -> None:
        self._task = task
        self._names = tuple(task.metric_names if names is None else names)
        metrics = task.metrics()
        self._metrics = MetricCollection({name: metrics[name] for name in self._names})
        self._reset()

    def _reset(self) -> None:
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._waiting = 0
        self._rows = 0
        self._loss: Tensor | float = 0.0
        self._metrics.reset()

    def update(self, outputs: Tensor, y: Tensor) -> None:
        """Add some rows."""
        self._outputs.append(outputs.detach())
        self._targets.append(y)
        self._waiting += outputs.numel()
        if self._waiting >= _VALUES:
            self._count()

    def state_dict(self) -> dict[str, Any]:
        """What was collected so far, as tensors and numbers. Nothing is counted for it: sums would round otherwise."""
        metrics = {name: dict(metric.metric_state) for name, metric in self._metrics.items(copy_state=False)}
        waiting = {"outputs": list(self._outputs), "targets": list(self._targets)}
        return {**waiting, "metrics": metrics, "loss": self._loss, "rows": self._rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from there."""
        self._reset()
        for name, metric in self._metrics.items(copy_state=False):
            for key, value in state["metrics"][name].items():
                setattr(metric, key, value)
            metric._update_count = int(state["rows"] > 0)  # else `compute` warns of having seen nothing
        self._outputs, self._targets = list(state["outputs"]), list(state["targets"])
        self._waiting = sum(outputs.numel() for outputs in self._outputs)
        self._loss, self._rows = state["loss"], state["rows"]

    @torch.no_grad()
    def _count(self) -> None:
        outputs, y = torch.cat(self._outputs).float(), torch.cat(self._targets)
        # Judged where the task is, summed in double precision where that exists.
        device = counting_device(outputs.device)
        judged = [values.to(device) for values in self._task.metric_inputs(outputs, y)]
        named = {name: values.to(device) for name, values in self._task.metric_kwargs(outputs).items()}
        self._metrics.to(device).update(*judged, **named)
        self._loss = self._loss + self._task.loss(outputs, y).to(device).double() * len(y)
        self._rows += len(y)
        self._outputs, self._targets, self._waiting = [], [], 0

    def compute(self) -> dict[str, float]:
        """`loss` and the metrics by name; starts afresh."""
        if self._waiting:
            self._count()
        scores = self._metrics.compute()
        # In the task's order: a collection sorts its metrics by name.
        loss = torch.as_tensor(self._loss, dtype=torch.float64)
        loss, rows = summed(torch.stack([loss, loss.new_tensor(self._rows)]))
        values = {"loss": loss / rows, **{name: scores[name] for name in self._names}}
        # One transfer for all of them; a figure of several targets is the mean of theirs.
        numbers = torch.stack([torch.as_tensor(value).double().mean() for value in values.values()]).tolist()
        self._reset()
        return dict(zip(values, numbers, strict=True))

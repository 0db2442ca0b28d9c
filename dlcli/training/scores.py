"""Loss and metrics over many rows, computed together rather than batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlcli.distributed.collectives import summed
from dlcli.tasks.base import Task
from dlcli.tasks.metric import Metric, keywords
from dlcli.training.row_noise import GROUPS, MOST_ROWS, group_sums

if TYPE_CHECKING:
    import pytorch_lightning as pl

_log = logging.getLogger(__name__)

# Maximum number of output values that are collected before they are evaluated together.
VALUES = 1 << 22

_SINGLE_ONLY = ("mps",)


def counting_device(device: torch.device) -> torch.device:
    """Return the device on which metrics are summed: `device`, or the CPU for Apple GPUs (no double precision)."""
    return torch.device("cpu") if device.type in _SINGLE_ONLY else device


class Scores:
    """Accumulator of a task's kept outputs and targets; `compute` returns mean loss and metrics over all rows.

    Collected values are evaluated and released whenever they reach a certain size, so that memory does not grow.

    There is no synchronization with the device before `compute`, unless the metrics have to be computed on the CPU.

    Args:
        task: task with the loss and the metrics.
        names: names of the metrics; None means all.
    """

    def __init__(self, task: Task, names: Sequence[str] | None = None) -> None:
        self._task = task
        self._names = tuple(task.metric_names if names is None else names)
        metrics = task.metrics()
        self._metrics = {name: metrics[name] for name in self._names}
        # Among metrics that share statistics, the first one collects them.
        first: dict[Any, str] = {}
        self._collector_of = {
            name: first.setdefault((type(metric), getattr(metric, "shares", None) or (name,)), name)
            for name, metric in self._metrics.items()
        }
        self._collectors = list(first.values())
        self._device = torch.device("cpu")  # device of the metrics
        self.remarks: dict[str, Sequence[str]] = {}  # warnings of metrics of other libraries
        self._forget()

    def _forget(self) -> None:
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._waiting = 0
        self._rows = 0
        self._weight = 0.0
        self._loss: Tensor | float = 0.0

    def _reset(self) -> None:
        self._forget()
        for name in self._collectors:  # the others take over its statistics before they are computed
            self._metrics[name].reset()

    def update(self, outputs: Tensor, y: Tensor) -> None:
        """Add the outputs and targets of a batch."""
        self.add(*self._task.kept(outputs.detach(), y))

    def add(self, outputs: Tensor, y: Tensor) -> None:
        """Add the kept values of some rows."""
        self._outputs.append(outputs)
        self._targets.append(y)
        self._waiting += outputs.numel()
        if self._waiting >= VALUES:
            self._count()

    def state_dict(self) -> dict[str, Any]:
        """Return the collected values unevaluated, so that sums are rounded as without the checkpoint."""
        metrics = {name: dict(self._metrics[name].metric_state) for name in self._collectors}
        waiting = {"outputs": list(self._outputs), "targets": list(self._targets)}
        return {**waiting, "metrics": metrics, "loss": self._loss, "rows": self._rows, "weight": self._weight}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the collected values."""
        self._reset()
        own = {name: set(self._metrics[name].metric_state) for name in self._collectors}
        if {name: set(found) for name, found in state["metrics"].items()} != own:
            _log.warning(
                "The checkpoint was written by an earlier version of dlcli: metrics of its epoch cover only "
                "the rest of it."
            )
            state = {
                **state,
                "metrics": {},
                "outputs": [],
                "targets": [],
                "loss": 0.0,
                "rows": 0,
                "weight": 0.0,
            }
        for name, statistics in state["metrics"].items():
            metric: Any = self._metrics[name]
            if isinstance(metric, Metric):
                metric.take_state(statistics)
            else:
                for key, value in statistics.items():
                    setattr(metric, key, value)
                # Otherwise `compute` of torchmetrics warns that there were no updates.
                metric._update_count = int(state["rows"] > 0)
            metric.to(self._device)
        self._outputs, self._targets = list(state["outputs"]), list(state["targets"])
        self._waiting = sum(outputs.numel() for outputs in self._outputs)
        self._loss, self._rows = state["loss"], state["rows"]
        self._weight = state.get("weight", self._rows)  # earlier checkpoints weighted by rows

    @torch.no_grad()
    def _count(self) -> None:
        outputs, y = torch.cat(self._outputs).float(), torch.cat(self._targets)
        # Evaluate on the task's device, and sum in double precision where supported.
        device = counting_device(outputs.device)
        if self._collectors:
            self._count_metrics(outputs, y, device)
        weight = self._task.loss_weight(outputs, y)
        if weight:  # the mean of no token is undefined
            self._loss = self._loss + self._task.kept_loss(outputs, y).to(device).double() * weight
        self._rows += len(y)
        self._weight += weight
        self._outputs, self._targets, self._waiting = [], [], 0

    def _count_metrics(self, outputs: Tensor, y: Tensor, device: torch.device) -> None:
        inputs = [values.to(device) for values in self._task.metric_inputs(outputs, y)]
        named = {name: values.to(device) for name, values in self._task.metric_kwargs(outputs, y).items()}
        if device != self._device:
            for metric in self._metrics.values():
                metric.to(device)
            self._device = device
        for name in self._collectors:
            metric = self._metrics[name]
            metric.update(*inputs, **keywords(metric, named))

    @property
    def task(self) -> Task:
        """The task with the loss and the metrics."""
        return self._task

    @property
    def has_rows(self) -> bool:
        """Whether any rows have been added."""
        return bool(self._rows or self._outputs)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics by name."""
        return self._metrics

    @property
    def collector_of(self) -> Mapping[str, str]:
        """The name of the metric that collects the statistics of each metric."""
        return self._collector_of

    @property
    def uncounted(self) -> tuple[Tensor, Tensor] | None:
        """Outputs and targets of all rows; None if those of some are evaluated and released, or there are none."""
        if self._rows or not self._outputs:
            return None
        if len(self._outputs) == 1:
            return self._outputs[0], self._targets[0]
        return torch.cat(self._outputs), torch.cat(self._targets)

    def forget(self) -> None:
        """Release the collected values, which have been evaluated together with those of other runs."""
        self._forget()

    @torch.no_grad()
    def group_sums(self, rows: int) -> Tensor | None:
        """Return sums of losses of groups of rows and their numbers of rows `(2, G)`.

        They are NaN if some rows are released, and None if all processes together have too many `rows`.
        """
        if rows > MOST_ROWS:
            return None
        if self._rows or not self._outputs:
            return torch.full((2, GROUPS), torch.nan if self._rows else 0.0, dtype=torch.float64)
        outputs, y = torch.cat(self._outputs).float(), torch.cat(self._targets)
        return group_sums(self._task.kept_loss, outputs, y, self._task.in_sequence)

    def compute(self, over: dict[str, tuple[int, int]] | None = None) -> dict[str, float]:
        """Return `loss` and the metrics by name, and reset.

        Args:
            over: receives, for each metric that is the mean of some classes, labels or targets only, because the others
                are undefined on these rows, their number and that of all.
        """
        if self._waiting:
            self._count()
        scores = {}
        for name, metric in self._metrics.items():
            if isinstance(metric, Metric):
                if (collector := self._collector_of[name]) == name:
                    metric.synchronize()  # torchmetrics does it in `compute`
                else:
                    metric.take_state(self._metrics[collector].metric_state)
            scores[name] = metric.compute()
            if over is not None and (said := getattr(metric, "remarks", ())) and not scores[name].isnan():
                self.remarks[name] = said
            found = metric.over() if over is not None and isinstance(metric, Metric) else None
            if over is not None and found and 0 < found[0] < found[1]:
                over[name] = found
        loss = torch.as_tensor(self._loss, dtype=torch.float64)
        loss, weight = summed(torch.stack([loss, loss.new_tensor(self._weight)]))
        values = {"loss": loss / weight, **scores}
        self._reset()
        return dict(zip(values, _numbers(list(values.values())), strict=True))


@dataclass(frozen=True)
class EpochScores:
    """Loss and metrics of an epoch, which a stack has computed for several training runs together.

    Attributes:
        train: of the training rows, by name.
        val: of the validation rows; None without any.
        groups: see `Scores.group_sums`.
        seconds: time that evaluating the validation rows and all metrics took.
    """

    train: dict[str, float]
    val: dict[str, float] | None
    groups: Tensor | None
    seconds: float


def _numbers(values: Sequence[Any]) -> list[float]:
    """Return metrics as numbers; with several targets, each is a mean over targets."""
    if all(isinstance(value, Tensor) and value.ndim == 0 and value.device.type == "cpu" for value in values):
        return [float(value) for value in values]
    # One transfer from the device for all metrics.
    numbers: list[float] = torch.stack([torch.as_tensor(value).double().mean() for value in values]).tolist()
    return numbers


def publish(scores: Mapping[str, float], trainer: pl.Trainer, names: Set[str] | None = None) -> None:
    """Pass metrics to callbacks, only those of some `names` if nothing reads the others.

    `log_dict` of the module would take a hundred times as long.
    """
    values = {name: torch.tensor(value) for name, value in scores.items() if names is None or name in names}
    trainer.callback_metrics.update(values)
    trainer.logged_metrics.update(values)

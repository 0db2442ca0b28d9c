"""The base class of metrics.

A metric has the interface of `torchmetrics.Metric`, but is not a module: constructing nine of those takes longer than
training a fold of a small dataset. A `torchmetrics.Metric` can be used instead.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import torch
from torch import Tensor

from dlcli.distributed.collectives import gathered_rows, is_group, summed

if TYPE_CHECKING:
    import torchmetrics

AnyMetric: TypeAlias = "Metric | torchmetrics.Metric"


class Metric(ABC):
    """Statistics that are summed over batches and ranks, and the value that is computed from them.

    Attributes:
        takes: form of the predictions (`task_metric.Input`); None for probabilities, or values in the user's unit.
        undefined: when the metric is NaN, for messages (`task_metric.Undefined`).
        higher_is_better: whether higher values are better; None if neither is better by itself.
        plot_lower_bound: the lowest possible value, or None.
        plot_upper_bound: the highest possible value, or None.
        shares: key of shared statistics: metrics of one class with equal keys collect them only once; None collects
            separately.
    """

    takes: Any = None
    undefined: tuple[Any, ...] = ()
    higher_is_better: bool | None = None
    plot_lower_bound: float | None = None
    plot_upper_bound: float | None = None
    shares: Hashable = None

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._rows: tuple[str, ...] = ()

    def add_sum(self, name: str, shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> None:
        """Add a statistic that starts at 0 and is summed, as the attribute `name`."""
        self._sums[name] = torch.zeros(shape, dtype=dtype)
        setattr(self, name, self._sums[name].clone())

    def add_rows(self, *names: str) -> None:
        """Add lists of tensors, one for each batch, as attributes."""
        self._rows += names
        for name in names:
            setattr(self, name, [])

    @abstractmethod
    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows: the results of `Task.metric_inputs`, and those of `Task.metric_kwargs` that it names."""

    @abstractmethod
    def compute(self) -> Tensor:
        """Return the value over all rows, or a tensor whose mean is the value; NaN where undefined."""

    def over(self) -> tuple[int, int] | None:
        """Return the number of classes, labels or targets that the value is the mean of, and that of all.

        None for a value that is not the mean of those for which it is defined.
        """
        return None

    def reset(self) -> None:
        """Reset all statistics."""
        for name, start in self._sums.items():
            setattr(self, name, start.clone())
        for name in self._rows:
            setattr(self, name, [])

    @property
    def metric_state(self) -> dict[str, Any]:
        """The statistics by name: tensors, and lists of tensors."""
        return {name: getattr(self, name) for name in (*self._sums, *self._rows)}

    def take_state(self, state: Mapping[str, Any]) -> None:
        """Replace the statistics by those of a metric with the same key `shares`."""
        for name in (*self._sums, *self._rows):
            setattr(self, name, state[name])

    def merge_state(self, other: Any) -> None:
        """Add the rows of another metric of this kind."""
        for name in (*self._sums, *self._rows):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def synchronize(self) -> None:
        """Replace the statistics by those of all ranks together; without several ranks, do nothing."""
        if not is_group():
            return
        for name in self._sums:
            setattr(self, name, summed(getattr(self, name).clone()))
        for name in self._rows:
            setattr(self, name, [gathered_rows(torch.cat(getattr(self, name)))])

    def to(self, device: torch.device | str) -> Self:
        """Move all tensors to a device, in place."""
        self._sums = {name: start.to(device) for name, start in self._sums.items()}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
            elif name in self._rows:
                setattr(self, name, [part.to(device) for part in value])
        return self


class MeanMetric(Metric):
    """Base class of metrics that are a mean, of values that `update` passes to `add`."""

    total: Tensor
    number: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total")
        self.add_sum("number")

    def add(self, values: Tensor) -> None:
        """Add values of any shape."""
        self.total = self.total + values.double().sum()
        self.number = self.number + values.numel()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.number


def counted_over(defined: Tensor) -> tuple[int, int]:
    """Return the result of `Metric.over`, given for which classes the value is defined `(C,)`."""
    return int(defined.sum()), defined.numel()


def keywords(metric: Any, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the keyword arguments that a metric's `update` names."""
    if not named:
        return {}
    parameters = inspect.signature(metric.update).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(named)
    return {name: value for name, value in named.items() if name in parameters}

"""Adapter of torchmetrics' and users' metrics to the results of `Task.metric_inputs`."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from torch import Tensor

from dlcli.distributed.collectives import gathered_rows, is_group
from dlcli.tasks.metric import AnyMetric, Metric, counted_over, keywords

# Input of a metric: probabilities; predicted classes or labels; values in the user's unit; values minus the mean of the
# training rows, which keeps precision if they vary little compared to the mean; or these in standard deviations of the
# training rows, for metrics that are independent of the unit but numerically sensitive to it.
Input = Literal["probabilities", "labels", "values", "centered", "standardized"]

# Conditions under which a metric is undefined, in addition to where it returns NaN.
Undefined = Literal["constant_target", "constant_prediction"]


# Inputs in double precision, required by the statistics of large numbers.
_NUMBERS = ("values", "standardized")


class TaskMetric(Metric):
    """Adapter that passes predictions to a metric in the required form, and returns NaN where it is declared undefined.

    Args:
        metric: the metric, new.
        takes: form of the predictions.
        threshold: probability above which a class or label is predicted, one number or one per label; None predicts
            the class with the highest probability.
        offset: value `(K,)` that was subtracted from predictions and targets.
        deviation: standard deviation of each target `(K,)`.
        undefined: when the metric is undefined.
        higher_is_better: whether higher values are better; None if neither is.
        bounds: the lowest and the highest possible value, each may be None.
    """

    def __init__(
        self,
        metric: AnyMetric,
        *,
        takes: Input,
        threshold: Any = None,
        offset: Tensor | None = None,
        deviation: Tensor | None = None,
        undefined: Collection[Undefined] = (),
        higher_is_better: bool | None = None,
        bounds: tuple[float | None, float | None] = (None, None),
    ) -> None:
        super().__init__()
        self.inner = metric
        self.higher_is_better = higher_is_better
        self.plot_lower_bound, self.plot_upper_bound = bounds
        self.undefined = tuple(undefined)
        self.remarks: list[str] = []  # warnings of the last `compute`, such as on classes without rows
        self._takes = takes
        # Compared in the precision of the probabilities.
        self._threshold = None if threshold is None else torch.tensor(threshold, dtype=torch.float32)
        self._offset, self._deviation = offset, deviation
        if takes in _NUMBERS and not isinstance(metric, Metric):
            metric.set_dtype(torch.float64)
        self._limits = ("targets_seen", "predictions_seen") if self.undefined else ()
        self.add_rows(*self._limits)

    def prepared(self, predicted: Tensor, y: Tensor, named: Mapping[str, Tensor]) -> tuple[Any, ...]:
        """Return the arguments of `add` for the results of `Task.metric_inputs` and `Task.metric_kwargs`."""
        if self._takes == "labels":
            if self._threshold is None:
                predicted = predicted.argmax(dim=1)
            else:
                predicted = (predicted > self._threshold.to(predicted.device)).long()
        elif self._takes in _NUMBERS:
            predicted, y = predicted.double(), y.double()
            if self._takes == "standardized" and self._deviation is not None:
                deviation = self._deviation.to(y.device).double()
                predicted, y = predicted / deviation, y / deviation
            if self._takes == "values" and self._offset is not None:
                offset = self._offset.to(y.device).double()
                predicted, y = predicted + offset, y + offset
            if y.ndim == 2 and y.shape[1] == 1:  # what torchmetrics expects of a single target
                predicted, y = predicted.flatten(), y.flatten()
        return predicted, y, keywords(self.inner, named)

    def add(self, predicted: Tensor, y: Tensor, named: Mapping[str, Tensor]) -> None:
        """Add prepared rows."""
        for name, values in zip(self._limits, (y, predicted), strict=False):
            if len(values):
                columns = values.reshape(len(values), -1).double()
                limits = torch.stack([columns.amin(dim=0), columns.amax(dim=0)]).unsqueeze(0)
                setattr(self, name, [_limits([*getattr(self, name), limits])])
        with without_warnings():
            self.inner.update(predicted, y, **named)

    def update(self, predicted: Tensor, y: Tensor, **named: Tensor) -> None:
        """Add a batch of rows."""
        self.add(*self.prepared(predicted, y, named))

    def each(self) -> Tensor:
        """Return the value, or one per class or target; NaN where undefined."""
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            value = torch.as_tensor(self.inner.compute()).double()
        self.remarks = list(dict.fromkeys(str(one.message).partition("\n")[0] for one in found))
        if not self._limits or not getattr(self, self._limits[0]):
            return value
        constant = torch.zeros(1, dtype=torch.bool, device=value.device)
        for condition, name in zip(("constant_target", "constant_prediction"), self._limits, strict=True):
            if condition in self.undefined:
                low, high = _limits(getattr(self, name))[0].to(value.device)
                constant = constant | (low == high)
        if value.numel() == len(constant):
            return torch.where(constant.reshape(value.shape), torch.nan, value)
        return torch.full_like(value, torch.nan) if bool(constant.all()) else value

    def compute(self) -> Tensor:
        """Return the value, or the mean over the classes or targets for which it is defined."""
        return self.each().nanmean() if self.undefined else self.each().mean()

    def over(self) -> tuple[int, int] | None:
        """Return the number of classes or targets for which it is defined, and that of all, if it is their mean."""
        values = self.each() if self.undefined or not isinstance(self.inner, Metric) else None
        if values is not None and values.numel() > 1:
            return counted_over(~values.isnan())
        return self.inner.over() if isinstance(self.inner, Metric) else None

    def reset(self) -> None:
        """Reset all statistics."""
        super().reset()
        self.inner.reset()

    @property
    def metric_state(self) -> dict[str, Any]:
        """The statistics by name."""
        return {**super().metric_state, **self.inner.metric_state}

    def take_state(self, state: Mapping[str, Any]) -> None:
        """Replace the statistics by those of a metric that collects the same."""
        super().take_state(state)
        for name in self.inner.metric_state:
            setattr(self.inner, name, state[name])
        if not isinstance(self.inner, Metric):
            self.inner._update_count = 1  # otherwise `compute` warns that there were no updates

    def merge_state(self, other: Any) -> None:
        """Add the rows of another metric of this kind, if the wrapped metric supports that."""
        super().merge_state(other)
        self.inner.merge_state(other.inner)

    def synchronize(self) -> None:
        """Replace the statistics by those of all ranks together; torchmetrics does so in `compute`."""
        if is_group():
            for name in self._limits:
                setattr(self, name, [_limits([gathered_rows(torch.cat(getattr(self, name)))])])
        if isinstance(self.inner, Metric):
            self.inner.synchronize()

    def to(self, device: torch.device | str) -> Self:
        """Move all tensors to a device, in place."""
        super().to(device)
        self.inner.to(device)
        return self


@contextmanager
def without_warnings() -> Iterator[None]:
    """Hide warnings of torchmetrics about what dlcli reports as NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _limits(parts: list[Tensor]) -> Tensor:
    """Return the minimum and maximum of each column `(1, 2, K)`, from those of parts `(N, 2, K)`."""
    rows = torch.cat(parts)
    return torch.stack([rows[:, 0].amin(dim=0), rows[:, 1].amax(dim=0)]).unsqueeze(0)

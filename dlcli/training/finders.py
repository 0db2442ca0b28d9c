"""Finders of a batch size or a learning rate. They train a copy, so that the network is unchanged."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from dlcli.config.pasted import pasted
from dlcli.datasets.notices import Notice
from dlcli.errors import OutOfMemory, TrainingError
from dlcli.tasks.base import Task
from dlcli.training import out_of_memory
from dlcli.training.fields import Batch, Fields
from dlcli.training.loader import BatchLoader, derive_seed
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe


class Tryout:
    """A copy of a network, its optimizer, and an endless sequence of batches.

    Args:
        batch_size: rows per batch.
        network: the network that is copied.
        task: task that computes the loss.
        train: the training rows.
        recipe: recipe with the optimizer, and the seed of order and dropout.
        device: device to train on.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        network: Network,
        task: Task,
        train: Fields,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.network = copy.deepcopy(network).to(device).train()
        self.task = task.to(device)
        self.optimizer = recipe.make_optimizer(self.network.trained_parameters())
        self.device = device
        fields = {name: values.to(device) for name, values in train.items()}
        self._tokens = recipe.batch_tokens
        self._loader = BatchLoader(
            fields,
            batch_size,
            shuffle=True,
            seed=derive_seed(recipe.seed, 0),
            tokens=recipe.batch_tokens,
        )
        self._batches = self._endless()

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return self._loader.rows

    def _endless(self) -> Iterator[Batch]:
        """Yield batches, without a smaller last one of each epoch: the loss of a few rows is mostly noise."""
        least = 0 if self._tokens else min(self._loader.batch_size, self.rows)
        while True:
            yield from (batch for batch in self._loader if len(batch["y"]) >= least)
            self._loader.epoch += 1

    def step(self) -> float:
        """Train one step on the next batch; return the loss before the step.

        Raises:
            OutOfMemory: the batch does not fit.
        """
        batch = next(self._batches)
        first: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss, _ = self.task.step(self.network, batch)
            loss.backward()
            first.append(loss.detach())
            return loss.detach()

        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except Exception as error:
            if out_of_memory.is_out_of_memory(error):
                fields, size = self._loader.fields, self._loader.batch_size
                raise out_of_memory.out_of_memory_error(
                    self.network, self.task, fields, size, self.device, self._tokens
                ) from error
            raise
        return float(first[0])


@dataclass(frozen=True)
class FinderResult:
    """The result of a finder.

    Attributes:
        key: the setting.
        value: its best value.
        tried: the values that were tried.
        measured: the measurement for each of them.
        measure: the quantity and unit of the measurements.
        reason: why this value was chosen.
        notices: warnings, such as of a lowest loss at the first or last rate.
    """

    key: str
    value: Any
    tried: list[float]
    measured: list[float]
    measure: str
    reason: str
    notices: tuple[Notice, ...] = ()


class Finder(Protocol):
    """Finder of the best value of one setting before training."""

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> FinderResult:
        """Return the best value; `try_out` returns a `Tryout` for a batch size, `batch_size` is the configured one."""


_WARM_UP, _TIMED = 2, 5


class BatchSizeFinder:
    """Finder that doubles the batch size up to the limit of memory, rows or `largest`, and takes the smallest fast
    enough one.

    Beyond the size that saturates the device, larger batches only reduce the number of steps. The finder measures time,
    so that the result may differ between runs; the chosen size is recorded.

    Args:
        smallest: the first batch size to try.
        largest: the largest batch size to try.
        enough: the share of the highest speed, in rows per second, that is fast enough.
    """

    def __init__(
        self,
        smallest: Annotated[int, Ge(1)] = 8,
        largest: Annotated[int, Ge(1)] = 4096,
        enough: Annotated[float, Gt(0), Le(1)] = 0.8,
    ) -> None:
        if smallest > largest:
            raise ValueError(f"smallest ({smallest}) must not be more than largest ({largest})")
        self.smallest = smallest
        self.largest = largest
        self.enough = enough

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> FinderResult:
        """Find the batch size.

        Raises:
            OutOfMemory: the smallest one does not fit into memory.
        """
        sizes: list[float] = []
        speeds: list[float] = []
        size, end = self.smallest, ""
        while size <= self.largest:
            try:
                tryout = try_out(size)
                rows = min(size, tryout.rows)
                speeds.append(_rows_per_second(tryout, rows))
            except OutOfMemory:
                if not sizes:
                    raise
                end = f"; {size} rows do not fit into memory"
                break
            sizes.append(rows)
            if rows < size:
                break
            size *= 2
        fast = self.enough * max(speeds)
        value = next(int(size) for size, speed in zip(sizes, speeds, strict=True) if speed >= fast)
        reason = f"the smallest with {self.enough:.0%} of the highest speed{end}"
        return FinderResult("dataset.batch_size", value, sizes, speeds, "rows per second", reason)


def _rows_per_second(tryout: Tryout, rows: int) -> float:
    seconds = []
    for step in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        tryout.step()
        if tryout.device.type == "cuda":
            torch.cuda.synchronize(tryout.device)
        if step >= _WARM_UP:
            seconds.append(time.perf_counter() - started)
    return rows / median(seconds)


# The loss is smoothed over about 1 / (1 - _SMOOTHING) steps; the test ends when it exceeds _DIVERGED times its minimum.
_SMOOTHING, _DIVERGED = 0.95, 4.0

# The mean of fewer losses says more about the batches than about the rate.
_FIRST = round(1 / (1 - _SMOOTHING))

# A lowest loss within so many steps of the first considered one is at the edge: the smoothed loss lags behind.
_NEAR = 2

# The share of the first loss at which the rows are fitted: the loss falls at any rate then. On 30 rows, it fell up to a
# rate of 6 (TabM; the validation loss was 0.21 at a tenth of it, and is 0.07 at the rate found now) and 10 (MLP).
_FITTED = 0.1

# At the rate with the lowest loss, training is about to diverge. A tenth of it is the usual choice (Howard's fastai).
_BACK = 10.0


class LearningRateFinder:
    """Finder that increases the rate at each step until the loss diverges, or has fallen to a tenth, and takes a tenth
    of the rate with the lowest loss.

    The loss is smoothed; the lowest one is not searched among the first steps, whose mean depends on the batches. A
    notice warns if it is at one of the first rates that are considered, or at the last one.

    Args:
        start: the first rate.
        end: the last rate, unless the loss diverges earlier.
        steps: number of steps, with a constant ratio between consecutive rates.
    """

    def __init__(
        self,
        start: Annotated[float, Gt(0)] = 1e-6,
        end: Annotated[float, Gt(0)] = 10.0,
        steps: Annotated[int, Ge(10)] = 150,
    ) -> None:
        if start >= end:
            raise ValueError(f"start ({start:g}) must be less than end ({end:g})")
        self.start = start
        self.end = end
        self.steps = steps

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> FinderResult:
        """Find the learning rate.

        Raises:
            TrainingError: the loss of the first step is not finite.
        """
        tryout = try_out(batch_size)
        rates: list[float] = []
        losses: list[float] = []
        mean, end = 0.0, ""
        first = min(_FIRST, self.steps // 5)
        for step in range(self.steps):
            rate = self.start * (self.end / self.start) ** (step / (self.steps - 1))
            for group in tryout.optimizer.param_groups:
                group["lr"] = rate * group.get("lr_share", 1.0)
            loss = tryout.step()
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            smooth = mean / (1 - _SMOOTHING ** (step + 1))
            if not math.isfinite(smooth) or smooth > _DIVERGED * min(losses[first:], default=math.inf):
                break
            rates.append(rate)
            losses.append(smooth)
            if step > first and 0 < smooth < _FITTED * losses[first]:
                end = f", {_FITTED:.0%} of the first one: few rows, which are fitted at this rate"
                break
        if not losses:
            raise TrainingError(
                "the loss of the first step is not finite, regardless of the learning rate",
                where="finder",
                hint="Check the scale of the data and the loss.",
            )
        considered = min(first, len(losses) - 1)
        lowest = min(range(considered, len(losses)), key=losses.__getitem__)
        notices: tuple[Notice, ...] = ()
        if lowest == self.steps - 1 and not end:
            wider = pasted("finder.end", float(f"{self.end * 100:g}"))
            end = f", the last rate (finder.end): it did not diverge ({wider} tries higher ones)"
            notices = (_edge(rates[lowest], "the last rate", "higher", wider),)
        elif lowest <= considered + _NEAR and not end:
            wider = pasted("finder.start", float(f"{self.start / 100:g}"))
            place = "among the first rates that are considered"
            end = f", {place} ({wider} tries lower ones)"
            notices = (_edge(rates[lowest], place, "lower", wider),)
        value = float(f"{rates[lowest] / _BACK:.2g}")
        reason = f"the smoothed loss is lowest at {rates[lowest]:.2g}{end}, and a tenth of that is safe"
        return FinderResult("optimizer.lr", value, rates, losses, "loss (smoothed)", reason, notices)


def _edge(rate: float, place: str, better: str, wider: str) -> Notice:
    """Return the warning of a lowest loss at the edge of the rates; `wider` is the setting that tries more of them."""
    return Notice(
        "lr_at_edge",
        1,
        f"the loss of finder=lr is lowest at {rate:.2g}, {place}: {better} ones may be better",
        wider.partition("=")[0],
        f"Set {wider}, or optimizer.lr without a finder.",
    )

"""Training steps for a look ahead: on a copy, so that the training itself starts as if nothing had been."""

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

from dlcli.errors import OutOfMemory, TrainingError
from dlcli.tasks.base import Task
from dlcli.training import memory
from dlcli.training.fields import Batch, Fields
from dlcli.training.loader import BatchLoader, derive_seed
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe


class Tryout:
    """A network's copy, its optimizer, and batches without end.

    Args:
        batch_size: rows of a batch.
        network: is copied.
        task: gives the loss.
        train: the training rows.
        recipe: gives the optimizer, and the seed of order and dropout.
        device: where to train.
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
        self._loader = BatchLoader(fields, batch_size, shuffle=True, seed=derive_seed(recipe.seed, 0))
        self._batches = self._endless()

    @property
    def rows(self) -> int:
        """How many training rows there are."""
        return self._loader.rows

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._loader
            self._loader.epoch += 1

    def step(self) -> float:
        """One step on the next batch; its loss, from before the step.

        Raises:
            OutOfMemory: the batch does not fit.
        """
        batch = next(self._batches)
        first: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.task.loss(self.network(batch), batch["y"])
            loss.backward()
            first.append(loss.detach())
            return loss.detach()

        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except Exception as error:
            if memory.is_out_of_memory(error):
                fields, size = self._loader.fields, self._loader.batch_size
                raise memory.explain(self.network, self.task, fields, size, self.device) from error
            raise
        return float(first[0])


@dataclass(frozen=True)
class Found:
    """What a finder found.

    `key` is the setting and `value` what is best for it; `tried` are its values and `measured` what each was worth, in
    the quantity and unit that `measure` names.
    """

    key: str
    value: Any
    tried: list[float]
    measured: list[float]
    measure: str
    reason: str


class Finder(Protocol):
    """Looks for the best value of one setting before the training starts."""

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> Found:
        """Try out batches of a size, as often as need be; `batch_size` is the configured one."""


_WARM_UP, _TIMED = 2, 5


class BatchSizeFinder:
    """Doubles the batch until memory, rows or `largest` end it, and takes the smallest that is nearly the fastest.

    More rows in a step are no aim in themselves: past the size that fills the device they only make steps fewer. Since
    it measures time, it may find another size the next time; the run's record has the one that was used.

    Args:
        smallest: rows of the first batch that is tried.
        largest: rows of the last.
        enough: share of the highest speed, in rows per second, that is enough.
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

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> Found:
        """The size.

        Raises:
            OutOfMemory: not even the smallest fits.
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
        return Found("dataset.batch_size", value, sizes, speeds, "rows per second", reason)


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


# The loss is smoothed over about 1 / (1 - this) steps, and the test ends where it is so many times its lowest.
_SMOOTHING, _DIVERGED = 0.95, 4.0

# The rate at the lowest loss is about to diverge: a tenth of it is what practice takes (Howard's fastai).
_BACK = 10.0


class LearningRateFinder:
    """Raises the rate from step to step until the loss explodes, and takes a tenth of the rate where it was lowest.

    Args:
        start: the first rate.
        end: the last rate, if the loss has not exploded before.
        steps: steps in between, in equal ratios.
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

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> Found:
        """The rate.

        Raises:
            TrainingError: not even the first steps have a finite loss.
        """
        tryout = try_out(batch_size)
        rates: list[float] = []
        losses: list[float] = []
        mean = 0.0
        for step in range(self.steps):
            rate = self.start * (self.end / self.start) ** (step / (self.steps - 1))
            for group in tryout.optimizer.param_groups:
                group["lr"] = rate * group.get("lr_share", 1.0)
            loss = tryout.step()
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            smooth = mean / (1 - _SMOOTHING ** (step + 1))
            if not math.isfinite(smooth) or smooth > _DIVERGED * min(losses, default=math.inf):
                break
            rates.append(rate)
            losses.append(smooth)
        if not losses:
            raise TrainingError(
                "the loss of the very first step is not finite: no learning rate can help",
                where="finder",
                hint="Look at the data's scale and at the loss.",
            )
        lowest = losses.index(min(losses))
        value = float(f"{rates[lowest] / _BACK:.2g}")
        reason = f"the smoothed loss is lowest at {rates[lowest]:.2g}, and a tenth of that is safe"
        return Found("optimizer.lr", value, rates, losses, "loss (smoothed)", reason)

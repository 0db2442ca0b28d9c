"""`StepPlan`: the batches of each optimizer step, and the number of steps of a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytorch_lightning.callbacks import Callback, GradientAccumulationScheduler

from dlcli.training.loader import BatchLoader
from dlcli.training.schedules import Length


@dataclass(frozen=True)
class StepPlan:
    """The optimizer steps of each epoch.

    Attributes:
        batches: number of batches of an epoch that are trained.
        rows: function from the index of a batch to its number of rows, over all ranks.
        accumulated: epoch (counted from 0) to the number of batches per step from that epoch on.
    """

    batches: int
    rows: Callable[[int], int]
    accumulated: Mapping[int, int]

    def group(self, epoch: int) -> int:
        """Return the number of batches per optimizer step in an epoch; the last step of an epoch may have fewer."""
        return self.accumulated[max(start for start in self.accumulated if start <= epoch)]

    def steps(self, epoch: int) -> int:
        """Return the number of optimizer steps of an epoch."""
        return -(-self.batches // self.group(epoch))

    def length(self, max_epochs: int | None, max_steps: int = -1) -> Length:
        """Return the planned length of a training run; -1 and None mean no limit."""
        epochs = max_epochs if max_epochs is not None and max_epochs >= 0 else None
        if epochs is None and max_steps < 0:
            return Length(None, None, self.steps(0))
        starts = sorted(self.accumulated)
        done = steps = 0
        for start, end in zip(
            starts, [*starts[1:], None], strict=True
        ):  # the epochs with equal numbers of steps
            ends = [each for each in (end, epochs) if each is not None]
            per_epoch = self.steps(start)
            if max_steps >= 0 and per_epoch:
                missing = max(max_steps - steps, 0)
                ends.append(done + -(-missing // per_epoch))
            if not ends:
                return Length(None, None, self.steps(0))
            count = max(min(ends) - done, 0)
            done, steps = done + count, steps + count * per_epoch
        return Length(min(steps, max_steps) if max_steps >= 0 else steps, done, self.steps(0))

    def weight(self, epoch: int, batch: int) -> float:
        """Return the weight of a batch's mean loss in the sum over its group, times the number of batches per step.

        Lightning divides each loss by the number of batches per step. With this weight, the sum over a group is the
        mean over its rows, also if its batches differ in size or the epoch ends before the group is complete.
        """
        group = self.group(epoch)
        if group == 1:
            return 1.0
        first = batch // group * group
        rows = sum(self.rows(other) for other in range(first, min(first + group, self.batches)))
        return group * self.rows(batch) / rows


def plan_steps(
    loader: BatchLoader, arguments: Mapping[str, Any], callbacks: Iterable[Callback] = ()
) -> StepPlan:
    """Return the plan for the batches of an epoch, the trainer's arguments, and its callbacks."""
    accumulated = {0: int(arguments.get("accumulate_grad_batches") or 1)}
    for callback in callbacks:
        if isinstance(callback, GradientAccumulationScheduler):
            accumulated = {0: 1, **callback.scheduling}
    limit = arguments.get("limit_train_batches")
    batches = loader.batches
    if isinstance(limit, float):
        batches = int(batches * limit)
    elif limit is not None:
        batches = min(batches, limit)
    return StepPlan(batches, loader.rows_of, accumulated)

"""Learning-rate schedules: the time of a scheduler's steps, and shapes with warm-up that torch lacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

Share = Annotated[float, Ge(0), Le(1)]
Epochs = Annotated[float, Ge(0)]


@dataclass(frozen=True)
class Length:
    """The planned length of a training run.

    Attributes:
        steps: number of optimizer steps, or None if only time or a callback ends the training.
        epochs: number of epochs, including an incomplete one, or None as for `steps`.
        steps_per_epoch: number of optimizer steps of the first epoch.
    """

    steps: int | None
    epochs: int | None
    steps_per_epoch: int


@dataclass(frozen=True)
class Schedule:
    """A scheduler that steps after each epoch or after each optimizer step."""

    scheduler: LRScheduler
    interval: Literal["epoch", "step"]

    def end_epoch(self, monitored: float | None) -> None:
        """Step a scheduler that steps once per epoch; a plateau scheduler receives the monitored metric."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            if monitored is not None:
                self.scheduler.step(monitored)
        elif self.interval == "epoch":
            self.scheduler.step()

    def end_step(self) -> None:
        """Step a scheduler that steps after each optimizer step."""
        if self.interval == "step" and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()


def cosine(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: Epochs = 0.0,
    final: Share = 0.0,
) -> LambdaLR:
    """Decay the optimizer's rate to the share `final` of it along half a cosine (Loshchilov and Hutter, 2017).

    During the first `warmup_epochs`, which may be a fraction, the rate increases linearly instead.
    """
    return _falling(
        optimizer,
        total_steps,
        warmup_epochs * steps_per_epoch,
        final,
        lambda done: (1 + math.cos(math.pi * done)) / 2,
    )


def polynomial(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    power: Annotated[float, Gt(0)] = 1.0,
    warmup_epochs: Epochs = 0.0,
    final: Share = 0.0,
) -> LambdaLR:
    """Decay like `cosine`, but along `(1 - t) ** power` with t from 0 to 1: linearly with power 1."""
    return _falling(
        optimizer, total_steps, warmup_epochs * steps_per_epoch, final, lambda done: (1 - done) ** power
    )


def coslog4(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    """Raise and lower the rate in four cosine cycles, each twice as long as the previous one; it starts and ends at
    zero.

    `(1 - cos(2 pi log2(1 + 15 t))) / 2` with t from 0 to 1 (Holzmueller et al., "Better by Default", 2024, section 3).
    """

    def factor(step: int) -> float:
        done = min((step + 1) / (total_steps + 1), 1.0)
        return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * done))) / 2

    return LambdaLR(optimizer, factor)


def _falling(
    optimizer: Optimizer, total: int, warmup: float, final: float, shape: Callable[[float], float]
) -> LambdaLR:
    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        # A resumed run may be longer than planned.
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        return final + (1 - final) * shape(done)

    return LambdaLR(optimizer, factor)

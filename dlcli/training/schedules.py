"""Learning rates over time: when a scheduler steps, and the shapes that torch has not got with a warm-up."""

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
class Schedule:
    """A scheduler, and after what it steps."""

    scheduler: LRScheduler
    interval: Literal["epoch", "step"]

    def end_epoch(self, monitored: float | None) -> None:
        """Step where it steps once an epoch; one that waits for a plateau looks at the monitored metric."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            if monitored is not None:
                self.scheduler.step(monitored)
        elif self.interval == "epoch":
            self.scheduler.step()

    def end_step(self) -> None:
        """Step where it steps after each step of the optimizer."""
        if self.interval == "step" and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()


def cosine(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: Epochs = 0.0,
    final: Share = 0.0,
) -> LambdaLR:
    """From the optimizer's rate down to the share `final` of it, along half a cosine (Loshchilov and Hutter, 2017).

    During the first `warmup_epochs`, which may be a fraction, the rate grows in equal steps instead.
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
    """As `cosine`, along `(1 - done) ** power`, where `done` runs from 0 to 1: a straight line with power 1."""
    return _falling(
        optimizer, total_steps, warmup_epochs * steps_per_epoch, final, lambda done: (1 - done) ** power
    )


def _falling(
    optimizer: Optimizer, total: int, warmup: float, final: float, shape: Callable[[float], float]
) -> LambdaLR:
    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        # A resumed training may be longer than it was planned to be.
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        return final + (1 - final) * shape(done)

    return LambdaLR(optimizer, factor)

"""The learning-rate range test (Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Gt

from dlcli.errors import TrainingError
from dlcli.training.tryout import Found, Tryout

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

"""Early stopping after a single clearly worse epoch, for optimizers whose epochs are whole solutions."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor


class RiseStopping(EarlyStopping):
    """Also stops as soon as an epoch is worse than the best one by a share of it.

    The solutions for weaker and weaker penalties first fit the validation rows better and then worse, without the
    noise of training by steps. A small step back may still be followed by a better solution; after a clear one, the
    weakest penalties, whose solutions take longest, are not needed. The same holds for more and more boosted trees.

    Args:
        monitor: the metric.
        mode: its better direction.
        patience: epochs without improvement before training stops.
        min_delta: smaller changes do not count as improvement.
        rise: share of the best value by which a worse epoch ends training.
    """

    def __init__(
        self,
        monitor: str,
        mode: Literal["min", "max"] = "min",
        patience: Annotated[int, Ge(0)] = 2,
        min_delta: float = 0.0,
        rise: Annotated[float, Gt(0)] = 0.05,
    ) -> None:
        super().__init__(monitor, min_delta=min_delta, patience=patience, mode=mode)
        self.rise = rise

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        stops, reason = super()._evaluate_stopping_criteria(current)
        best = self.best_score.to(current.device)
        worse = (best - current) if self.mode == "max" else (current - best)
        if not stops and bool(torch.isfinite(best)) and bool(worse > self.rise * best.abs()):
            reason = f"{self.monitor} is worse than {float(best):.3f}, its best, by more than {self.rise:.0%}"
            return True, reason
        return stops, reason

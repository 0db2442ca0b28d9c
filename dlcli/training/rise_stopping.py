"""Early stopping after a single clearly worse epoch, for optimizers with a complete solution per epoch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor


class RiseStopping(EarlyStopping):
    """Early stopping that also ends training as soon as an epoch is worse than the best one by a relative amount.

    With decreasing penalties, the fit of the validation rows first improves and then degrades, without the noise of
    stochastic steps. A slightly worse solution may still be followed by a better one; after a clearly worse one, the
    weakest penalties, whose solutions take longest, are not needed. The same holds for an increasing number of boosted
    trees.

    Args:
        monitor: the metric.
        mode: its better direction.
        patience: epochs without improvement before training stops.
        min_delta: minimum change that counts as an improvement.
        rise: relative deterioration from the best value that ends training.
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
            reason = (
                f"{self.monitor} is worse than its best value {float(best):.3f} by more than {self.rise:.0%}"
            )
            return True, reason
        return stops, reason

"""End of training before the last epoch: the limit of steps, the minimum length, and a diverging loss."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class StepLimit(Callback):
    """Callback that ends training after a number of optimizer steps, if necessary within an epoch.

    That epoch is validated and saved like any other one. Lightning's own limit would skip both, and would repeat the
    end of an epoch after resuming. As in Lightning, the limit has priority over `min_epochs` and `min_steps`.

    Args:
        max_steps: number of optimizer steps; -1 means no limit.
    """

    reads_weights = False

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Replace the trainer's limit."""
        trainer.fit_loop.epoch_loop.max_steps = -1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop once the number of steps is reached; Lightning then validates."""
        if 0 <= self.max_steps <= trainer.global_step:
            trainer.fit_loop.min_epochs = 0
            trainer.fit_loop.epoch_loop.min_steps = None
            trainer.should_stop = True


def is_ending(trainer: pl.Trainer) -> bool:
    """Return whether a stop was requested, and `min_epochs` and `min_steps` are reached."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def advice_on_divergence(trainer: pl.Trainer, rate: float, *, can_clip: bool = True) -> str:
    """Return advice on a non-finite loss, without settings that are already in use."""
    advice = [f"Lower optimizer.lr (it is {rate:g})"]
    if can_clip and not trainer.gradient_clip_val:
        advice.append("clip gradients (trainer.gradient_clip_val=1.0)")
    if trainer.precision != "32-true":
        advice.append("train with trainer.precision=32")
    return f"{', or '.join(advice)}."

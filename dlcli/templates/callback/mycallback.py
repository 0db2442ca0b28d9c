"""MyCallback: a custom callback."""

from __future__ import annotations

import pytorch_lightning as pl


class MyCallback(pl.Callback):
    """Ends training when a metric has reached a value. A callback can use all hooks of Lightning's callbacks.

    Args:
        monitor: The metric; lower values are better.
        target: The value.
    """

    def __init__(self, monitor: str = "val/loss", target: float = 0.1) -> None:
        self.monitor = monitor
        self.target = target

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the metric of the epoch."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and float(value) <= self.target:
            trainer.should_stop = True

"""`Recipe`: settings of training, without the network, its task and the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from dlcli.training.averaging import Averaging
from dlcli.training.fields import Batch
from dlcli.training.schedules import Length, Schedule

MakeOptimizer = Callable[[ParamsT], Optimizer]
MakeSchedule = Callable[[Optimizer, Length], Schedule]
Augment = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Recipe:
    """Settings of training, which are shared by the training, its rehearsal and the finders.

    Attributes:
        make_optimizer: function from parameters to the optimizer.
        make_trainer: function from further arguments to the Lightning trainer.
        batch_size: number of rows in a batch.
        seed: seed of the order of rows, dropout and augmentation. torch is reseeded from it at each epoch, so that a
            repeated epoch gives the same result.
        trainer_arguments: the trainer's arguments in the configuration, which determine the code path of a step.
        callbacks: the configured Lightning callbacks.
        monitor: the metric that chooses the best epoch and drives a plateau schedule.
        mode: `min` or `max`.
        make_schedule: function from the optimizer and the length of training to the learning-rate schedule; None keeps
            the rate constant.
        augment: function that augments a batch of training rows, see `dlcli.augmentation`.
        averaging: averaging of the weights; validation then uses the average.
        keep_last: whether the last epoch is considered the best, for runs without validation rows.
        checkpoint_minutes: minutes between checkpoints within an epoch.
        saves_bounds: whether the first and the last epoch are saved even if they take less than seconds. A fold or
            trial that is interrupted earlier starts over.
        takes_all_rows: whether each step of the optimizer uses all rows; batches are pieces of them.
        grows_trees: whether the optimizer grows trees, without gradients.
        batch_tokens: maximum number of tokens of a batch, which replaces the number of rows; None for no limit.
    """

    make_optimizer: MakeOptimizer
    make_trainer: Callable[..., pl.Trainer]
    batch_size: int
    seed: int
    trainer_arguments: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Sequence[Callback] = ()
    monitor: str = "val/loss"
    mode: str = "min"
    make_schedule: MakeSchedule | None = None
    augment: Augment | None = None
    averaging: Averaging | None = None
    keep_last: bool = False
    checkpoint_minutes: float = 10.0
    saves_bounds: bool = True
    takes_all_rows: bool = False
    grows_trees: bool = False
    batch_tokens: int | None = None

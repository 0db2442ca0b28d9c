"""`Recipe`: how a network is trained, apart from the network, its task and the rows."""

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
    """How a network is trained. The training itself, its rehearsal and the finders read the same recipe.

    Attributes:
        make_optimizer: from parameters to the optimizer.
        make_trainer: from further arguments to the Lightning trainer.
        batch_size: rows in a batch.
        seed: of the order of the rows, dropout and augmentation. torch is reseeded from it at each epoch, so that an
            epoch that is repeated gives the same result.
        trainer_arguments: the trainer's arguments as the configuration has them, by which the step's code path is
            chosen.
        callbacks: Lightning callbacks of the user's choice.
        monitor: the metric that chooses the best epoch and drives a plateau schedule.
        mode: `min` or `max`.
        make_schedule: from the optimizer and the length of training to the learning-rate schedule; None keeps the rate
            constant.
        augment: from a batch of training rows to a changed one, as `dlcli.augmentation` describes it.
        averaging: averages the weights; validation then uses the average.
        keep_last: the last epoch counts as the best, for runs without validation rows.
        checkpoint_minutes: minutes between checkpoints within an epoch.
        saves_bounds: the first and the last epoch are saved even if they take less than seconds. A fold or trial that
            is stopped so early starts over.
        takes_all_rows: a step of the optimizer takes the loss of all rows; batches are pieces of them.
        grows_trees: it grows trees, without a gradient.
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

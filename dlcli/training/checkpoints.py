"""The best weights and the full state of the last epoch, on disk so that a kill at any moment leaves a whole pair."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, Timer
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model

from dlcli.distributed.world import summed
from dlcli.errors import Interrupted
from dlcli.interrupts import preempted
from dlcli.training.frozen import FROZEN, FrozenPart
from dlcli.training.module import TrainingModule
from dlcli.training.network import Network
from dlcli.training.resume import LAST

# Steps (or chunks of them) after which several ranks ask each other whether it is time for a checkpoint.
_ASK_EVERY = 16


class Checkpoints(Checkpoint):
    """Writes `best-EPOCH.safetensors` when the monitored metric improves, and `last.ckpt` after each epoch.

    `last.ckpt` names the best epoch that it knows of. A new best is written before the `last.ckpt` that names it, and
    the old best is removed after: whichever state a killed process leaves, `last.ckpt` finds its best weights.

    Both leave out what the training never changes; `complete` puts it into the best weights.

    Args:
        folder: where both go.
        monitor: name of the metric; the last epoch counts as the best where it is None.
        mode: whether less or more is better.
        every_minutes: also writes `last.ckpt` within an epoch, so often.
    """

    def __init__(self, folder: Path, monitor: str | None, mode: str, every_minutes: float) -> None:
        self.best_epoch: int | None = None
        self.best_value = math.inf if mode == "min" else -math.inf
        self._folder = folder
        self._monitor = monitor
        self._mode = mode
        self._every_seconds = 60 * every_minutes
        self._saved = time.monotonic()
        self._finished_epochs = 0
        self._stopped = False

    @property
    def best_weights(self) -> Path | None:
        """The file with the best weights, once there are any."""
        return self._best_file(self.best_epoch) if self.best_epoch is not None else None

    def _best_file(self, epoch: int) -> Path:
        return self._folder / f"best-{epoch:04d}.safetensors"

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the best weights where this epoch is better, then the state."""
        assert isinstance(pl_module, TrainingModule)
        if self._improved(pl_module.epoch_metrics):
            self.best_epoch = trainer.current_epoch
            if trainer.is_global_zero:
                self._write_best(trainer.current_epoch, pl_module.judged, pl_module.frozen)
        self._finished_epochs = trainer.current_epoch + 1
        stops = trainer.should_stop and self._finished_epochs >= (trainer.min_epochs or 0)
        self._stopped = stops and not _is_out_of_time(trainer)
        self._save(trainer)
        if trainer.is_global_zero:
            for file in self._folder.glob("best-*"):
                if file != self.best_weights:
                    file.unlink()
        if not self._stopped:
            self._leave_where_preempted()

    def _write_best(self, epoch: int, network: Network, frozen: FrozenPart) -> None:
        self._folder.mkdir(exist_ok=True)
        model, metadata = network.model_to_keep(), {"epoch": str(epoch)}
        with _replacing(self._best_file(epoch)) as partial:
            if frozen.names:
                save_file(frozen.without(model), partial, {**metadata, FROZEN: frozen.digest})
            else:
                save_model(model, partial, metadata)

    def complete(self, network: Network, frozen: FrozenPart) -> None:
        """Put what the training never changed into the file with the best weights.

        Raises:
            CorruptRun: the weights are those of a training with another frozen part.
        """
        file = self.best_weights
        assert file is not None
        with safe_open(file, framework="pt") as best:
            metadata = best.metadata()
        if FROZEN in metadata:
            whole = frozen.completed(network.model_to_keep(), load_file(file), metadata.pop(FROZEN))
            with _replacing(file) as partial:
                save_model(whole, partial, metadata)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the state in the middle of a long epoch, where no gradients are waiting for their step."""
        steps, waiting = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
        if waiting or batch_idx + 1 >= trainer.num_training_batches:
            return
        if self._is_due(trainer, steps):
            self._save(trainer)
            self._leave_where_preempted()

    def _is_due(self, trainer: pl.Trainer, steps: int) -> bool:
        due = time.monotonic() - self._saved > self._every_seconds or preempted.is_set()
        if trainer.world_size == 1:
            return due
        # All ranks have to write together, and their clocks differ: they ask each other, seldom, since that takes time.
        if steps % _ASK_EVERY:
            return False
        return bool(summed(torch.tensor(float(due), device=trainer.strategy.root_device)))

    def _leave_where_preempted(self) -> None:
        """The state is on the disk: nothing is lost."""
        if preempted.is_set():
            raise Interrupted(signal.SIGUSR1)

    def _improved(self, metrics: dict[str, float]) -> bool:
        if self._monitor is None:
            return True
        value = metrics[self._monitor]
        if not (value < self.best_value if self._mode == "min" else value > self.best_value):
            return False
        self.best_value = value
        return True

    def _save(self, trainer: pl.Trainer) -> None:
        partial = self._folder / "last.partial"
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:  # all ranks have to be here, and one of them writes
            partial.replace(self._folder / LAST)
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What `last.ckpt` says of the best epoch, and how far it is."""
        return {
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "finished_epochs": self._finished_epochs,
            "stopped": self._stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `last.ckpt`."""
        self.best_epoch = state_dict["best_epoch"]
        self.best_value = state_dict["best_value"]
        self._finished_epochs = state_dict["finished_epochs"]


@contextmanager
def _replacing(file: Path) -> Iterator[str]:
    """Another name to write to, which becomes the file once all is written."""
    partial = file.with_suffix(".partial")
    yield str(partial)
    partial.chmod(0o644)  # safetensors makes files that only their owner reads: no use in a shared folder
    partial.replace(file)


def _is_out_of_time(trainer: pl.Trainer) -> bool:
    """Whether it was the clock that ended the training: a longer `max_time` would go on."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    return any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers)

"""Checkpoints: the best weights and the full state of the last epoch, consistent even after a kill."""

from __future__ import annotations

import copy
import logging
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, Timer
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor

from dlcli.distributed.collectives import summed
from dlcli.errors import Interrupted
from dlcli.process.interrupts import preempted
from dlcli.tracking.manifest import Manifest
from dlcli.training.checkpoint_io import DigestingIO, weights_metadata
from dlcli.training.ending import is_ending
from dlcli.training.epoch_state import LAST, PREVIOUS, ResumePoint, best_name
from dlcli.training.frozen import FROZEN, FrozenPart
from dlcli.training.module import TrainingModule
from dlcli.training.network import Network

_log = logging.getLogger(__name__)

# Number of steps (or chunks) after which several ranks decide together whether a checkpoint is due.
_ASK_EVERY = 16

# Maximum seconds of training lost by a kill. An epoch of a small network takes less time than writing its checkpoint.
_EPOCH_SECONDS = 2.0

# Of networks that are trained together, each is written at most once in this number of seconds times their number, so
# that writing all of them takes no more than a small share of the time.
_SECONDS_EACH = 0.3

# Maximum bytes of best weights that are kept in memory before they are written.
_MAX_HELD = 64 << 20

# The best weights of a run without checkpoints, before they are moved to the saved model.
WEIGHTS_ALONE = "weights.partial"

# safetensors creates files that only their owner can read, but the folder may be shared.
_READABLE = 0o644


class Checkpoints(Checkpoint):
    """Callback that writes `best-EPOCH.safetensors` if the monitored metric improves, and `last.ckpt` after each epoch.

    Epochs that end within two seconds of the last checkpoint, or of the start, are not written, except the first and
    the last one with `saves_bounds`; their best weights are kept in memory until the next checkpoint, or until
    `complete`. Several ranks write after each epoch.

    `last.ckpt` names the best epoch so far. A new best is written before the `last.ckpt` that names it, and the old
    best is removed afterwards, so that the best weights of `last.ckpt` always exist, whenever the process is killed.
    The previous checkpoint is kept with its best weights until the next one is written, so that damage to `last.ckpt`
    costs only one checkpoint. `digests.json` contains the digests of all these files.

    Both files leave out frozen parameters; `complete` adds them to the best weights.

    Args:
        folder: folder of both files.
        monitor: name of the metric. If None, the last epoch counts as the best.
        mode: `min` or `max`, the better direction of the metric.
        every_minutes: write `last.ckpt` also within an epoch, at this interval, and after every epoch if it is shorter
            than two seconds.
        run_id: ID of the run that the checkpoints belong to.
        progress: progress of the checkpoint from which training continues.
        saves_bounds: whether the first and the last epoch are always written.
    """

    reads_weights = False  # other than by the module, which knows when

    def __init__(
        self,
        folder: Path,
        monitor: str | None,
        mode: str,
        every_minutes: float,
        run_id: str = "",
        progress: ResumePoint | None = None,
        *,
        saves_bounds: bool = True,
    ) -> None:
        self.best_epoch: int | None = None
        self.best_value = math.inf if mode == "min" else -math.inf
        self._folder = folder
        self._monitor = monitor
        self._mode = mode
        self._every_seconds = 60 * every_minutes
        self._saves_bounds = saves_bounds
        self._saved = time.monotonic()
        self._finished_epochs = 0
        self._stopped = False
        # Early stopping may request a stop before `min_epochs` are reached, which Lightning does not save.
        self._asked_to_stop = False
        self._io = DigestingIO()
        self._manifest = Manifest.for_writing(folder, run_id)
        # The best weights, if they are not on disk yet.
        self._waiting: Mapping[str, Tensor] | None = None
        # The best epochs named by the checkpoints on disk.
        self._named: dict[str, int | None] = {}
        if progress is not None:
            best = progress.checkpoints["best_epoch"]
            self._named[progress.file.name] = best
            self._manifest.adopt(progress.file.name, *([best_name(best)] if best is not None else []))

    @property
    def finished_epochs(self) -> int:
        """Number of complete epochs, including those before the checkpoint that training continues from."""
        return self._finished_epochs

    @property
    def best_weights(self) -> Path | None:
        """The file with the best weights, or None before the first one."""
        return self._best_file(self.best_epoch) if self.best_epoch is not None else None

    def _best_file(self, epoch: int) -> Path:
        return self._folder / best_name(epoch)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Install the I/O plugin that computes the digest of a checkpoint."""
        trainer.strategy.checkpoint_io = self._io

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore a stop that was requested before the checkpoint."""
        trainer.should_stop = trainer.should_stop or self._asked_to_stop

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the best weights if the metric improved, then the state; or keep them until the next write."""
        assert isinstance(pl_module, TrainingModule)
        self._finished_epochs = trainer.current_epoch + 1
        self._stopped = is_ending(trainer) and not _is_out_of_time(trainer)
        improved = self._improved(pl_module.epoch_metrics)
        if improved:
            self.best_epoch = trainer.current_epoch
            if trainer.is_global_zero:
                self._frozen = pl_module.frozen
                self._waiting = _weights(pl_module.evaluated, pl_module.frozen)
        if self._is_due_after_epoch(trainer, pl_module.sharing.runs):
            self._save(trainer)
            if not self._stopped:
                self._leave_where_preempted()
        elif improved and self._waiting is not None:
            self._waiting = _copied(self._waiting)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write the best weights of a run that ends with an error, such as a NaN loss."""
        try:
            self._write_best()
        except Exception as error:  # must not replace the error that ends the run
            _log.warning("The best weights could not be written: %s", error)

    def _is_due_after_epoch(self, trainer: pl.Trainer, together: int) -> bool:
        """Return whether the state is written after this epoch: the first or last one, or one that is due."""
        size = sum(value.nbytes for value in (self._waiting or {}).values() if isinstance(value, Tensor))
        if size > _MAX_HELD or trainer.world_size > 1 or preempted.is_set():
            return True
        is_bound = not self._named or trainer.should_stop or trainer.max_epochs == self._finished_epochs
        seconds = max(_EPOCH_SECONDS, together * _SECONDS_EACH) if together > 1 else _EPOCH_SECONDS
        due = time.monotonic() - self._saved > min(seconds, self._every_seconds)
        return due or (is_bound and self._saves_bounds)

    def _write_best(self) -> None:
        """Write the best weights, if they are not on disk yet."""
        state, self._waiting = self._waiting, None
        if state is None or self.best_epoch is None:
            return
        self._folder.mkdir(exist_ok=True)
        with self._replacing(self._best_file(self.best_epoch)) as partial:
            self._write(state, partial)

    def _write(self, state: Mapping[str, Tensor], file: str) -> None:
        metadata = {"epoch": str(self.best_epoch)}
        if self._frozen.names:
            save_file(dict(state), file, {**metadata, FROZEN: self._frozen.digest})
        else:
            save_model(_Weights(state), file, metadata)  # type: ignore[arg-type]  # it needs state_dict only

    def complete(self, network: Network, frozen: FrozenPart) -> Path:
        """Return the file with the best weights and the frozen parameters, which is written if need be.

        A short run, of which nothing is on disk yet, writes it next to the folder, without a digest.

        Raises:
            CorruptRun: the weights belong to a training run with other frozen parameters.
        """
        if self._waiting is not None and not self._frozen.names and not self._folder.exists():
            apart = self._folder.with_name(WEIGHTS_ALONE)
            self._write(self._waiting, str(apart))
            apart.chmod(_READABLE)
            self._waiting = None
            return apart
        file = self.best_weights
        assert file is not None
        self._write_best()
        self._make_room()
        self._tidy()
        metadata = weights_metadata(file)
        if FROZEN in metadata:
            whole = frozen.completed(network.model_to_keep(), load_file(file), metadata.pop(FROZEN))
            with self._replacing(file) as partial:
                save_model(whole, partial, metadata)
        return file

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the state within a long epoch, at a step with no accumulated gradients, unless the epoch ends here."""
        steps, waiting = divmod(batch_idx + 1, trainer.accumulate_grad_batches)
        if waiting or batch_idx + 1 >= trainer.num_training_batches or is_ending(trainer):
            return
        if self._is_due(trainer, steps):
            self._save(trainer)
            self._leave_where_preempted()

    def _is_due(self, trainer: pl.Trainer, steps: int) -> bool:
        due = time.monotonic() - self._saved > self._every_seconds or preempted.is_set()
        if trainer.world_size == 1:
            return due
        # All ranks have to write together, but their clocks differ. They synchronize rarely, because it takes time.
        if steps % _ASK_EVERY:
            return False
        return bool(summed(torch.tensor(float(due), device=trainer.strategy.root_device)))

    def _leave_where_preempted(self) -> None:
        """End a preempted run once its state is on disk."""
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
        self._asked_to_stop = trainer.should_stop and not _is_out_of_time(trainer)
        if trainer.is_global_zero:
            self._make_room()
            self._write_best()
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:  # all ranks participate in saving, but only one writes
            if LAST in self._named:
                _link(self._folder / LAST, self._folder / PREVIOUS)
                self._named[PREVIOUS] = self._named[LAST]
                self._manifest.accepted[PREVIOUS] = self._manifest.accepted[LAST]
            self._manifest.replace({LAST: partial}, {LAST: self._io.digest}, often=True)
            self._named[LAST] = self.best_epoch
            self._tidy()
        self._saved = time.monotonic()

    def _make_room(self) -> None:
        """Remove the previous state, because only two are kept; keep it if the last one is damaged."""
        if LAST in self._named:
            (self._folder / PREVIOUS).unlink(missing_ok=True)
            self._manifest.forget(PREVIOUS)
            self._named.pop(PREVIOUS, None)
            self._tidy()

    def _tidy(self) -> None:
        """Remove weights that are named neither by a checkpoint on disk nor by the next one."""
        needed = {best_name(epoch) for epoch in (self.best_epoch, *self._named.values()) if epoch is not None}
        for file in self._folder.glob("best-*.safetensors"):
            if file.name not in needed:
                file.unlink()
                self._manifest.forget(file.name)

    @contextmanager
    def _replacing(self, file: Path) -> Iterator[str]:
        """Yield a temporary file name; the file replaces `file` once it is complete."""
        partial = file.with_suffix(".partial")
        yield str(partial)
        partial.chmod(_READABLE)
        self._manifest.replace({file.name: partial}, often=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch and the number of finished epochs, for `last.ckpt`."""
        return {
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "finished_epochs": self._finished_epochs,
            "stopped": self._stopped,
            "asked_to_stop": self._asked_to_stop,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from `last.ckpt`."""
        self.best_epoch = state_dict["best_epoch"]
        self.best_value = state_dict["best_value"]
        self._finished_epochs = state_dict["finished_epochs"]
        self._asked_to_stop = state_dict.get("asked_to_stop", False)  # earlier checkpoints lack it


class _Weights:
    """State dict with the module interface that `save_model` requires."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state."""
        return dict(self._state)


def _weights(network: Network, frozen: FrozenPart) -> Mapping[str, Tensor]:
    """Return the tensors of a network to save; they are not copied, and the next step changes them."""
    model = network.model_to_keep()
    return frozen.without(model) if frozen.names else model.state_dict()


def _copied(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a copy of a state dict.

    `copy.deepcopy` takes several times as long, but keeps tied weights tied, of which one is written.
    """
    values = list(state.values())
    if not all(isinstance(value, Tensor) for value in values):
        return copy.deepcopy(state)
    if len({value.untyped_storage().data_ptr() for value in values}) < len(values):
        return copy.deepcopy(state)
    return {name: value.detach().clone() for name, value in state.items()}


def _link(file: Path, other: Path) -> None:
    """Create a hard link to a file; rename the file if the file system has no hard links."""
    try:
        os.link(file, other)
    except OSError:
        file.replace(other)


def _is_out_of_time(trainer: pl.Trainer) -> bool:
    """Return whether `max_time` ended the training, so that a longer limit would continue it."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    return any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers)

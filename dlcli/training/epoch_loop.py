"""The loop over epochs and batches, for training runs that need nothing of Lightning's own loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping
from pytorch_lightning.loops.utilities import _parse_loop_limits
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer import call
from pytorch_lightning.trainer.states import TrainerFn, TrainerStatus
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from pytorch_lightning.utilities.model_helpers import _ModuleMode

from dlcli.training.due_steps import DueSteps, Pausing
from dlcli.training.loader import BatchLoader
from dlcli.training.module import TrainingModule

# Callbacks of Lightning that read and write nothing but what this loop keeps as Lightning's does.
_KNOWN = (EarlyStopping,)


def can_loop(trainer: pl.Trainer, module: TrainingModule) -> bool:
    """Return whether `run_epochs` trains this module with the same result as the trainer's `fit`.

    It does for chunks of steps on one device in full precision, with callbacks of dlcli or early stopping.
    """
    return (
        not module.automatic_optimization
        and len(module.train_dataloader()) > 0
        and type(trainer) is pl.Trainer
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) is Precision
        and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]
        and not trainer.loggers
        and all(_is_known(callback) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    )


def _is_known(callback: Callback) -> bool:
    return type(callback) in _KNOWN or type(callback).__module__.startswith("dlcli.")


def _reads_weights(callback: Callback) -> bool:
    """Return whether a callback may read the weights or the outputs of the network that it gets."""
    return not isinstance(callback, EarlyStopping) and getattr(callback, "reads_weights", True)


def run_epochs(trainer: pl.Trainer, module: TrainingModule) -> Pausing[None]:
    """Train a module from its start, as `trainer.fit(module)` does, but for the steps, which the caller takes.

    Trainer, callbacks and module see the same calls in the same order, and the trainer's counters have the same values
    at each of them, so that a checkpoint is Lightning's own. What is left out is Lightning's bookkeeping between calls,
    which for a small network takes as long as its steps.
    """
    trainer.state.fn = TrainerFn.FITTING
    trainer.state.status = TrainerStatus.RUNNING
    trainer.training = True
    trainer.should_stop = False
    trainer.strategy._lightning_module = module
    # Without chunks of steps left, `next` returns None.
    loop, handle = _Loop(trainer, module).run(), call._call_and_handle_interrupt
    due = handle(trainer, next, loop, None)
    while due is not None:
        try:
            yield due
        except BaseException as error:
            due = handle(trainer, loop.throw, error)
        else:
            due = handle(trainer, next, loop, None)
    trainer.training = False


class _Loop:
    """One training run of a module with a trainer."""

    def __init__(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        self._trainer = trainer
        self._module = module
        self._train: BatchLoader = module.train_dataloader()
        self._val = module.val_dataloader()
        self._loop = trainer.fit_loop
        self._epochs = self._loop.epoch_progress
        self._batches = self._loop.epoch_loop.batch_progress
        self._validated = self._loop.epoch_loop.val_loop.batch_progress
        self._modes = _ModuleMode()
        self._hooks: dict[str, list[Callback]] = {}
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        module.stacked.is_read_late = not any(map(_reads_weights, callbacks))
        if module.stacked.is_read_late:
            module.stacked.read_metrics = {one.monitor for one in callbacks if isinstance(one, EarlyStopping)}

    def run(self) -> Pausing[None]:
        trainer, module, loop = self._trainer, self._module, self._loop
        loop.min_epochs, loop.max_epochs = _parse_loop_limits(
            trainer.min_steps, trainer.max_steps, trainer.min_epochs, trainer.max_epochs, trainer
        )
        module.trainer = trainer
        trainer.strategy.connect(module)
        trainer.strategy.setup_environment()
        module._device = trainer.strategy.root_device
        self._call("setup", stage="fit")
        module.setup("fit")
        trainer.strategy.setup(trainer)
        self._call("on_fit_start")
        module.zero_grad()
        torch.set_grad_enabled(True)
        loop._combined_loader = CombinedLoader(self._train, "max_size_cycle")  # for checkpoints
        loop.max_batches = len(self._train)
        if not loop.done:
            self._call("on_train_start")
            module.on_train_start()
            while not loop.done:
                yield from self._run_epoch()
            module.stacked.leave()
            self._call("on_train_end")
        trainer._teardown()
        self._call("on_fit_end")
        self._call("teardown", stage="fit")
        trainer.state.status = TrainerStatus.FINISHED
        trainer.state.stage = None

    def _run_epoch(self) -> Pausing[None]:
        module, epochs, batches = self._module, self._epochs, self._batches
        epochs.increment_ready()
        self._call("on_train_epoch_start")
        module.on_train_epoch_start()
        epochs.increment_started()
        batches.reset_on_run()
        self._validated.total.reset()
        last = len(self._train) - 1
        for number, batch in enumerate(self._train):
            batches.is_last_batch = number == last
            batches.increment_ready()
            batches.increment_started()
            yield DueSteps(module, batch, self._trainer.current_epoch, number, ends_epoch=number == last)
            batches.increment_processed()
            self._call("on_train_batch_end", {}, batch, number)
            module.on_train_batch_end({}, batch, number)
            batches.increment_completed()
            if number == last and len(self._val):
                self._validate()
            self._loop.epoch_loop._batches_that_stepped += 1
        epochs.increment_processed()
        self._call("on_train_epoch_end", which=_does_not_monitor)
        module.on_train_epoch_end()
        self._call("on_train_epoch_end", which=_monitors)
        epochs.increment_completed()

    def _validate(self) -> None:
        trainer, module, validated = self._trainer, self._module, self._validated
        trainer.validating = True
        validated.reset_on_run()
        if module.stacked.scored is None:
            module.zero_grad()
            inference = self._loop.epoch_loop.val_loop.inference_mode
            with torch.inference_mode() if inference else torch.no_grad():
                self._modes.capture(module)
                module.eval()
                self._evaluate()
                self._modes.restore(module)
        else:
            self._evaluate()
        trainer.training = True

    def _evaluate(self) -> None:
        """Evaluate the validation rows, unless a stack has evaluated those of several runs together."""
        module, validated = self._module, self._validated
        self._call("on_validation_start")
        self._call("on_validation_epoch_start")
        module.on_validation_epoch_start()
        last = len(self._val) - 1
        batches = self._val if module.stacked.scored is None else [None] * (last + 1)
        for number, batch in enumerate(batches):
            validated.is_last_batch = number == last
            validated.increment_ready()
            self._call("on_validation_batch_start", batch, number, 0)
            validated.increment_started()
            if module.stacked.scored is None:
                module.validation_step(batch, number)
            validated.increment_processed()
            self._call("on_validation_batch_end", None, batch, number, 0)
            validated.increment_completed()
        self._call("on_validation_epoch_end")
        module.on_validation_epoch_end()
        self._call("on_validation_end")

    def _call(
        self, hook: str, *args: Any, which: Callable[[Callback], bool] | None = None, **kwargs: Any
    ) -> None:
        """Call a hook of the callbacks that have one."""
        if hook not in self._hooks:
            plain = getattr(Callback, hook)
            callbacks = self._trainer.callbacks  # type: ignore[attr-defined]
            self._hooks[hook] = [one for one in callbacks if getattr(type(one), hook) is not plain]
        for callback in self._hooks[hook]:
            if which is None or which(callback):
                getattr(callback, hook)(self._trainer, self._module, *args, **kwargs)


def _monitors(callback: Callback) -> bool:
    """Return whether Lightning calls a callback after the module at the end of an epoch."""
    return isinstance(callback, EarlyStopping | Checkpoint)


def _does_not_monitor(callback: Callback) -> bool:
    return not _monitors(callback)

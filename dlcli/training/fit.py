"""`fit`: the only place where a Lightning trainer is created and run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, GradientAccumulationScheduler

from dlcli.distributed.signals import leave_signals
from dlcli.distributed.world import Place, World
from dlcli.errors import TrainingError
from dlcli.events import EpochDone, Listener, Note, StepsDone, TrainingStarted
from dlcli.formatting import counted
from dlcli.process.memory import keep_freed_memory
from dlcli.tasks.base import Task
from dlcli.training import out_of_memory
from dlcli.training.checkpoints import Checkpoints
from dlcli.training.due_steps import Pausing
from dlcli.training.ending import StepLimit
from dlcli.training.epoch_loop import can_loop, run_epochs
from dlcli.training.epoch_samples import EpochSamples, makes_samples
from dlcli.training.epoch_state import find_progress, raise_if_damaged
from dlcli.training.fields import Fields, judged_rows
from dlcli.training.loader import BatchLoader, Chunk
from dlcli.training.module import TrainingModule
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe
from dlcli.training.restoration import note_of_history
from dlcli.training.step_plan import plan_steps
from dlcli.training.step_sharing import StepSharing
from dlcli.training.trainer_arguments import needs_single_steps
from dlcli.training.watch_path import WatchPath, WeightPath

# Optimizer steps per call from Lightning, unless single steps are needed. Lightning's overhead per call, about 200 us
# on a CPU, is amortized over this many steps.
CHUNK = 20

_PER_STEP_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


@dataclass(frozen=True)
class FitResult:
    """The result of `fit`.

    `note` reports a damaged checkpoint that was ignored; `path` is that of the weights, if a callback has kept it.
    """

    best_epoch: int
    best_weights: Path
    history: list[dict[str, float]]
    device: torch.device
    note: str = ""
    sharing: StepSharing = field(default_factory=StepSharing)
    path: WeightPath | None = None


def takes_chunks(trainer: Mapping[str, Any], callbacks: Sequence[Callback]) -> bool:
    """Return whether Lightning need not process every single step with this configuration."""
    if needs_single_steps(trainer):
        return False
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in callbacks):
        return False
    return not any(
        getattr(type(callback), hook) is not getattr(Callback, hook)
        for callback in callbacks
        for hook in _PER_STEP_HOOKS
    )


def fit(
    network: Network,
    task: Task,
    train: Fields,
    val: Fields | None,
    recipe: Recipe,
    *,
    folder: Path,
    listen: Listener,
    description: Mapping[str, str],
    earlier: Sequence[dict[str, float]] = (),
    world: World | None = None,
    run_id: str = "",
    start_over: str = "",
) -> Pausing[FitResult]:
    """Train the network in place, until the trainer or a callback stops it.

    Where nothing needs Lightning's loops, it pauses for each chunk of steps: `run_alone(fit(...))` takes them.

    If `folder` contains a checkpoint of `run_id`, training continues from it, with the same result as without
    interruption. In a `world` of several processes, each trains on its part of every batch, and rank 0 writes all
    files.

    Args:
        network: network to train, in place.
        task: loss and metrics.
        train: the training rows.
        val: the validation rows, or None.
        recipe: settings of the training.
        folder: folder of the checkpoints.
        listen: receives `TrainingStarted`, `StepsDone` and `EpochDone`.
        description: label to text of the run's description, for `TrainingStarted`.
        earlier: metrics of the epochs before the checkpoint.
        world: this process's rank among several, or None.
        run_id: ID of the run that checkpoints must belong to.
        start_over: the hint for a run all of whose checkpoints are damaged.

    Raises:
        CorruptRun: all checkpoints are damaged, or belong to a run with other frozen weights.
        Diverged: the loss became NaN or infinite.
        TrainingError: no epoch was finished.
    """
    batch_size, monitor = recipe.batch_size, recipe.monitor
    chunk = CHUNK if takes_chunks(recipe.trainer_arguments, recipe.callbacks) else None
    if recipe.takes_all_rows:  # one chunk contains all pieces, or one batch all rows
        chunked = chunk or recipe.grows_trees  # growing trees has no steps for Lightning
        chunk, batch_size = (len(train["y"]), batch_size) if chunked else (None, len(train["y"]))
    progress = find_progress(folder, run_id, start_over)
    first_epoch = progress.finished_epochs if progress else 0
    history = list(earlier[:first_epoch])

    rank, ranks = (world.rank, world.size) if world else (0, 1)

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        history.append(metrics)
        listen(EpochDone(epoch, metrics))

    checkpoints = Checkpoints(
        folder,
        None if recipe.keep_last else monitor,
        recipe.mode,
        recipe.checkpoint_minutes,
        run_id,
        progress,
        saves_bounds=recipe.saves_bounds,
    )
    max_steps = recipe.trainer_arguments.get("max_steps", -1)
    draws = recipe.saves_bounds and makes_samples(task)  # folds and trials have no samples of their own
    made = [EpochSamples(folder.parent)] if draws else []
    trainer = recipe.make_trainer(
        logger=False,
        callbacks=[*recipe.callbacks, StepLimit(max_steps), _Progress(listen), *made, checkpoints],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=True,
        default_root_dir=folder,
        dirpath=str(folder.parent / "profile"),  # for a profiler
        num_sanity_val_steps=0,
        **({} if val is not None else {"limit_val_batches": 0}),
        **({"plugins": [Place(world)]} if world else {}),
    )
    if getattr(network.finetuning, "only_head", False):
        trainer.fit_loop.max_epochs = 1  # the head is solved already
    keep_freed_memory()
    if not torch.cuda.is_available():
        # Lightning sets this variable. With it, each step of Adam would search for the driver library of a missing GPU.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    batches = BatchLoader(
        train,
        batch_size,
        shuffle=not recipe.takes_all_rows,
        seed=recipe.seed,
        chunk=chunk,
        rank=rank,
        ranks=ranks,
        tokens=recipe.batch_tokens,
    )
    plan = plan_steps(batches, recipe.trainer_arguments, recipe.callbacks)
    length = plan.length(trainer.max_epochs, max_steps)
    module = TrainingModule(
        network,
        task,
        recipe,
        batches,
        BatchLoader(
            judged_rows(task, val), network.evaluation_rows(batch_size), rank=rank, ranks=ranks, bounded=True
        )
        if val is not None
        else None,
        plan,
        length,
        _metrics_of_an_epoch(task, monitor, recipe.callbacks),
        on_epoch,
    )
    expected = _epochs(recipe, network, length.epochs)
    leave_signals(trainer)
    device = trainer.strategy.root_device
    threads = f" ({counted(torch.get_num_threads(), 'thread')})" if device.type == "cpu" else ""
    place = f"{world.size} x {device.type}" if world else str(device)
    if progress and recipe.grows_trees and not progress.reaches(trainer.max_epochs):
        again = f"the trees of {counted(first_epoch, 'finished epoch')} are grown again, with the same result"
        description = {**description, "resumed": again}
    note = ". ".join(
        filter(None, [progress.note if progress else "", note_of_history(len(history), first_epoch)])
    )
    description = {
        **description,
        **({"checkpoint": note} if note else {}),
        **({"batches": batches.by_tokens.described()} if batches.by_tokens else {}),
        "device": f"{place}{threads}, precision {trainer.precision}",
    }
    stops_early = any(isinstance(callback, EarlyStopping) for callback in recipe.callbacks)
    listen(
        TrainingStarted(description, expected, plan.batches, monitor, recipe.mode, first_epoch, stops_early)
    )
    try:
        if progress and progress.stopped:
            epochs = counted(progress.finished_epochs, "epoch")
            listen(
                Note(f"Training had ended after {epochs}, before trainer.max_epochs: it is not continued.")
            )
        if progress and progress.reaches(trainer.max_epochs):
            checkpoints.load_state_dict(progress.checkpoints)
        elif progress is None and not world and can_loop(trainer, module):
            yield from run_epochs(trainer, module)
        else:
            module.sharing.why_alone = (
                "continued from a checkpoint" if progress else "steps of Lightning's own loops"
            )
            with world.joined(device) if world else nullcontext():
                trainer.fit(module, ckpt_path=progress.file if progress else None, weights_only=True)
    except Exception as error:
        if out_of_memory.is_out_of_memory(error):
            raise out_of_memory.out_of_memory_error(
                network, task, train, batch_size, device, recipe.batch_tokens
            ) from error
        if progress is not None and not module.has_stepped:
            raise_if_damaged(error, progress.file, start_over, restored=module.is_restored)
        raise
    module.release_rows()
    watching = next((one for one in recipe.callbacks if isinstance(one, WatchPath)), None)
    path = None
    if (
        watching and progress and progress.reaches(trainer.max_epochs)
    ):  # the network has not been trained again
        path = watching.path_in(progress.content())
    elif watching:
        path = watching.path(network.model)
    if checkpoints.best_weights is None or checkpoints.best_epoch is None:
        raise TrainingError(
            f"no epoch was finished, or {monitor} was never a number: there are no weights to save",
            where="trainer",
            hint="Allow more time (trainer.max_time) or at least one epoch (trainer.max_epochs).",
        )
    weights = checkpoints.complete(network, module.frozen) if rank == 0 else checkpoints.best_weights
    return FitResult(checkpoints.best_epoch, weights, history, device, note, module.sharing, path)


def _epochs(recipe: Recipe, network: Network, planned: int | None) -> int | None:
    """Return the number of epochs to expect; None if it is unknown."""
    if not recipe.grows_trees:
        return planned
    grown: Any = recipe.make_optimizer(network.trained_parameters())
    return min(grown.epochs(network.model), planned or sys.maxsize)


def _metrics_of_an_epoch(task: Task, monitor: str, callbacks: Sequence[Callback]) -> list[str]:
    """Return the names of the metrics to compute in each epoch: the cheap ones, and monitored ones."""
    watched = {monitor, *(str(getattr(callback, "monitor", "")) for callback in callbacks)}
    names = {text.partition("/")[2] for text in watched}
    return [name for name in task.metric_names if name in task.epoch_metrics or name in names]


class _Progress(Callback):
    """Callback that reports the number of finished steps."""

    reads_weights = False

    def __init__(self, listen: Listener) -> None:
        self._listen = listen

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._listen(StepsDone(len(batch) if isinstance(batch, Chunk) else 1))

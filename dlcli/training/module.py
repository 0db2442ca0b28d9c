"""The Lightning module: one optimizer step, or a chunk of steps, and the metrics of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from dlcli.errors import Diverged
from dlcli.tasks.base import Task
from dlcli.training.averaging import WeightAverage, measure_batch_norm
from dlcli.training.direct_steps import DirectSteps, can_step_directly
from dlcli.training.ending import advice_on_divergence
from dlcli.training.epoch_state import all_parts, own_part, random_state, seed_device, set_random_state
from dlcli.training.fields import Batch
from dlcli.training.frozen import FrozenPart
from dlcli.training.loader import BatchLoader, Chunk, derive_seed
from dlcli.training.network import Network
from dlcli.training.optimizers import rate_of, settle_restored
from dlcli.training.penalty_path import SOLVER_ADVICE
from dlcli.training.recipe import Recipe
from dlcli.training.row_noise import RowNoise
from dlcli.training.schedules import Length, Schedule
from dlcli.training.scores import Scores, publish
from dlcli.training.solvers import outputs_of, solve
from dlcli.training.stacked_part import StackedPart
from dlcli.training.step_losses import StepLosses
from dlcli.training.step_plan import StepPlan
from dlcli.training.step_shares import StepShares
from dlcli.training.step_sharing import StepSharing
from dlcli.training.turns import Turns, turn_parts


class TrainingModule(pl.LightningModule):
    """Lightning module of a network and its task.

    With chunks, one `training_step` does the optimizer steps of a chunk (manual optimization). Lightning's work between
    steps, which takes longer than a small network's, is then done once per chunk. The weights are the same.

    Args:
        network: network that maps a batch to outputs.
        task: loss and metrics.
        recipe: optimizer, schedule, augmentation, averaging, seed and monitored metric.
        train: batches of training rows, or chunks of batches. With several processes, this process's part of each.
        val: batches of validation rows, or None.
        plan: the optimizer steps of each epoch.
        length: the planned length of the training run.
        metrics: names of the task's metrics that are computed in each epoch.
        on_epoch: called with the number and the metrics of each finished epoch.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        recipe: Recipe,
        train: BatchLoader,
        val: BatchLoader | None,
        plan: StepPlan,
        length: Length,
        metrics: Sequence[str],
        on_epoch: Callable[[int, dict[str, float]], None],
    ) -> None:
        super().__init__()
        self.network = network
        self.frozen = FrozenPart(network)
        self.task = task
        self.average = WeightAverage(network.model, recipe.averaging) if recipe.averaging else None
        self.epoch_metrics: dict[str, float] = {}  # of the last finished epoch
        self.epoch_seconds = 0.0
        # Whether training has started, with the state of a checkpoint if there is one, and has done a step (or chunk).
        self.is_restored = self.has_stepped = False
        self.automatic_optimization = train.chunk is None
        self.recipe = recipe
        self._train, self._val = train, val
        self._plan, self._length = plan, length
        self._on_epoch = on_epoch
        self.schedule: Schedule | None = None
        self._batch_idx, self._averaged_step = -1, 0
        self.sharing = StepSharing()
        self._losses = StepLosses(plan.batches, lambda: self._advice)
        self._within_epoch: Any = None
        self._metrics, self._turns = metrics, Turns()
        self.scores = Scores(task, metrics if task.judges_training_rows else []), Scores(task, metrics)
        self._row_noise = RowNoise(train.ranks)
        self.stacked = StackedPart()
        self._shares = StepShares(task, network, plan, train.ranks)

    @property
    def evaluated(self) -> Network:
        """The network that is validated and saved: the averaged one, once there is an average."""
        self.stacked.settle()
        if self.average is None or not self.average.updates:
            return self.network
        return self.network.with_model(self.average.model)

    def configure_optimizers(self) -> Any:
        """Return the optimizer of the trained parameters, and its schedule."""
        optimizer = self.recipe.make_optimizer(self.network.trained_parameters())
        if self.recipe.make_schedule is None:
            return optimizer
        self.schedule = self.recipe.make_schedule(optimizer, self._length)
        # At the end of an epoch, Lightning would step after the checkpoint is written; `end_epoch` does it before.
        steps = {"interval": "step", "reduce_on_plateau": False} if self.automatic_optimization else {}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule.scheduler, **steps}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step the schedule after an optimizer step of Lightning's loop."""
        self.end_step()

    def end_step(self) -> None:
        """Step a schedule that steps after each optimizer step."""
        if self.schedule is not None:
            self.schedule.end_step()

    def setup(self, stage: str) -> None:
        """Move the data to the device."""
        for loader in [self._train, *([] if self._val is None else [self._val])]:
            loader.fields = {name: values.to(self.device) for name, values in loader.fields.items()}

    def release_rows(self) -> None:
        """Release the data, since trainer and module reference each other long after training."""
        self._train.fields = {}
        if self._val is not None:
            self._val.fields = {}

    def train_dataloader(self) -> BatchLoader:
        """Return the batches of training rows."""
        return self._train

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Return the batches of validation rows; without any, `limit_val_batches=0` turns validation off."""
        return self._val if self._val is not None else []

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch: the data is on the device already."""
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment a batch of training rows; batches of a chunk are augmented in `training_step`."""
        if self.recipe.augment is None or isinstance(batch, Chunk) or not self.trainer.training:
            return batch
        return self.network.augmented(self.recipe.augment, batch)

    def on_train_epoch_start(self) -> None:
        """Reseed for this epoch, and start measuring its time."""
        self._train.epoch = self.current_epoch
        self.network.start_epoch(self.current_epoch)
        rank = [self._train.rank] if self._train.rank else []
        seed_device(self.device, derive_seed(self.recipe.seed, self.current_epoch, *rank))
        self._losses.clear()
        self._batch_idx = -1
        self.epoch_metrics = {}
        self._epoch_lr = self.learning_rate  # a schedule has changed it when the epoch ends
        self._started = self.sharing.clock()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out frozen parameters; within an epoch, add random states, losses and counts."""
        self.frozen.leave_out(checkpoint)
        checkpoint["row_noise"] = self._row_noise.state_dict()
        if self._losses:
            own = {
                "random": random_state(),
                "rows": self._train.state_dict(),
                "losses": self._losses.stacked(),
                "scores": self.scores[0].state_dict(),
                "turns": self._turns.state_dict(),
                "metrics": dict(self.epoch_metrics),
                "lr": self._epoch_lr,
            }
            checkpoint["within_epoch"] = all_parts(own, self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore frozen parameters, and keep the state within an epoch until training starts."""
        self.frozen.put_back(checkpoint, self.state_dict())
        self._within_epoch = checkpoint.get("within_epoch")
        self._row_noise.load_state_dict(checkpoint.get("row_noise", {}))  # earlier versions have none

    def on_train_start(self) -> None:
        """Check the restored optimizer, and continue within an epoch."""
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        settle_restored(optimizer, dict(self.network.named_parameters()))
        self._averaged_step = self.trainer.global_step
        if self._within_epoch is not None:
            self._continue_within_epoch()
        self.is_restored = True

    def _continue_within_epoch(self) -> None:
        """Restore the state within an epoch, for which Lightning does not call `on_train_epoch_start`."""
        within = own_part(self._within_epoch, self._train.rank, self._train.ranks, self.device)
        self._within_epoch = None
        # Set by Lightning's GradientAccumulationScheduler at the start of an epoch.
        self.trainer.accumulate_grad_batches = self._plan.group(self.current_epoch)
        self.on_train_epoch_start()
        # Lightning restores it too, except where a schedule made it count batches before the checkpoint was read.
        self._train.load_state_dict(within["rows"])
        self.epoch_metrics, self._epoch_lr = within["metrics"], within["lr"]
        if self.automatic_optimization:  # it was saved between the step and the update of the average
            self._update_average(epoch_ends=False)
        if "scores" in within:
            self._losses.restore(within["losses"])
            self.scores[0].load_state_dict(within["scores"])
            self._turns.load_state_dict(within.get("turns", {}))
            set_random_state(within["random"])

    def training_step(self, batch: Batch | Chunk, batch_idx: int) -> Tensor | None:
        """Return the loss of a step that Lightning completes, or do the steps of a chunk."""
        if self.network.rests:
            return self.network.at_rest(self.task, batch, self._count)
        if self.automatic_optimization:
            # Of L-BFGS's several evaluations of a batch, only the first one counts in the epoch's metrics.
            counts, self._batch_idx = batch_idx != self._batch_idx, batch_idx
            return self._loss(batch, counts) * self._shares.of_batch(self.current_epoch, batch_idx)
        one: Any
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        if self.recipe.takes_all_rows:
            own = self.network, self.task, self.manual_backward, self._train.rows, self._train.ranks
            for outputs, y, loss in solve(optimizer, batch, *own):
                self.scores[0].update(outputs, y)
                self._losses.add([loss], self.current_epoch)
            return None
        direct = DirectSteps(optimizer) if self._train.ranks == 1 and can_step_directly(optimizer) else None
        for one in batch:
            if self.recipe.augment is not None:
                one = self.network.augmented(self.recipe.augment, one)
            asked = False

            def closure(one: Any = one) -> Tensor:
                nonlocal asked
                counts, asked = not asked, True
                loss = self._loss(one, counts)
                optimizer.zero_grad()
                # `manual_backward` informs DDP; in a single process it would only take time.
                (self.manual_backward if self._train.ranks > 1 else Tensor.backward)(loss)
                return loss.detach()

            if (turns := self.task.turns(self.network, one)) is not None:
                self._count(*self._turns.take(self.network.model, turns, optimizer, one), one)
            elif direct is not None:
                direct.take(self._loss(one, counts=True))
            else:
                optimizer.step(closure)
            self.end_step()
            self._update_average(epoch_ends=False)
        return None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the average, unless gradients are still being accumulated."""
        self.has_stepped = True
        if self.automatic_optimization and self.trainer.global_step != self._averaged_step:
            self._averaged_step = self.trainer.global_step
            self._update_average(epoch_ends=False)

    def _update_average(self, *, epoch_ends: bool) -> None:
        if self.average is None:
            return
        epochs = self.current_epoch, self.trainer.max_epochs
        if self.average.update(self.network.model, *epochs, epoch_ends=epoch_ends):
            measure_batch_norm(self.evaluated, self.network.model, self._train.in_order())

    def _loss(self, batch: Any, counts: bool) -> Tensor:
        loss, outputs = self.task.step(self.network, batch)
        share = self._shares.of_rank(outputs, batch)
        if counts:
            self._count(loss, outputs, batch)
        return loss * share if self._train.ranks > 1 else loss

    def on_after_backward(self) -> None:
        """Complete the mean of a step over several batches."""
        if self.automatic_optimization:
            self._shares.after_backward(self.current_epoch, self._batch_idx, self.network.parameters())

    def _count(self, loss: Tensor, outputs: Tensor, batch: Any) -> None:
        self.count(self.network.combined(outputs), batch["y"], [loss.detach()])

    def count(
        self, outputs: Tensor, y: Tensor, losses: Sequence[Tensor], *, are_finite: bool = False
    ) -> None:
        """Count steps in the epoch's metrics: outputs and targets of their rows, and the loss of each step.

        With `are_finite`, these losses need not be checked.
        """
        self.scores[0].update(outputs, y)
        self._losses.add(losses, self.current_epoch, are_finite=are_finite)

    @property
    def _advice(self) -> str:
        if self.recipe.takes_all_rows:
            return SOLVER_ADVICE
        clips = not turn_parts(self.network.model)
        return advice_on_divergence(self.trainer, self.learning_rate, can_clip=clips)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the optimizer."""
        return rate_of(self.optimizers(use_pl_optimizer=False))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the outputs, which are evaluated at the end of the epoch."""
        solver: Any = self.optimizers(use_pl_optimizer=False)
        outputs = outputs_of(solver, self.evaluated, self.task, batch, batch_idx, self._metrics)
        self.scores[1].update(outputs, batch["y"])

    def on_validation_epoch_start(self) -> None:
        """End the training part of the epoch."""
        self._end_of_training()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation rows."""
        found, groups = self.stacked.of_validation(self.scores[1], self._val.rows if self._val else 0)
        scores = {f"val/{name}": value for name, value in found.items()}
        self.epoch_metrics |= scores | self._row_noise.update(scores["val/loss"], groups, self.device)
        publish(scores, self.trainer, self.stacked.read_metrics)
        if not math.isfinite(scores["val/loss"]):
            reason = f"the validation loss became {scores['val/loss']} in epoch {self.current_epoch + 1}"
            raise Diverged(reason, where="val/loss", hint=self._advice)

    def on_train_epoch_end(self) -> None:
        """Log the metrics of the training rows, and report the epoch."""
        self._end_of_training()
        found = self.stacked.of_training(self.scores[0])
        scores = {f"train/{name}": value for name, value in found.items()}
        publish(scores, self.trainer, self.stacked.read_metrics)
        # Another optimizer may have attributes of these names, with other meanings.
        solver: Any = self.optimizers(use_pl_optimizer=False) if self.recipe.takes_all_rows else None
        self.epoch_metrics = {
            **scores,
            **self._turns.compute(),
            **self.epoch_metrics,
            "lr": self._epoch_lr,
            "samples_per_second": self._rows / self.epoch_seconds,
            **(solver.facts if solver else {}),
        }
        if self.schedule is not None:
            self.schedule.end_epoch(self.epoch_metrics.get(self.recipe.monitor))
        if solver and solver.is_done:
            self.trainer.should_stop = True
        self._on_epoch(self.current_epoch, self.epoch_metrics)

    def _end_of_training(self) -> None:
        if self._losses:
            self._losses.check(self.current_epoch)
            self._rows = self._train.rows_before(len(self._losses))
            self._losses.clear()
            self.epoch_seconds = self.sharing.clock() - self._started - self.stacked.scoring_seconds
            self._update_average(epoch_ends=True)

"""The Lightning module: one optimizer step, or a chunk of them, and what is read once an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from dlcli.errors import Diverged
from dlcli.tasks.base import Task
from dlcli.training.averaging import WeightAverage, measure_batch_norm
from dlcli.training.epoch_state import all_parts, own_part, random_state, set_random_state
from dlcli.training.fields import Batch
from dlcli.training.frozen import FrozenPart
from dlcli.training.loader import BatchLoader, Chunk, derive_seed
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe
from dlcli.training.schedules import Schedule
from dlcli.training.scores import Scores

# Losses stay on the device; so many are looked at together, lest a run that has diverged goes on for hours.
_CHECK_EVERY = 256


class TrainingModule(pl.LightningModule):
    """A network and its task, as Lightning trains them.

    With chunks, one `training_step` does the optimizer steps of a whole chunk (manual optimisation): Lightning's work
    between steps, which costs a small network more than the step itself, is done once a chunk. The steps themselves
    are the same, and so are the weights.

    Args:
        network: from a batch to outputs.
        task: loss and metrics.
        recipe: optimizer, schedule, augmentation, averaging, seed and monitored metric.
        train: batches, or chunks of batches, of training rows.
        val: batches of validation rows, if there are any.
        metrics: names of the task's metrics that are counted each epoch.
        on_epoch: called with each finished epoch's number and metrics.

    Where several processes train, `train` gives this one its part of each batch.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        recipe: Recipe,
        train: BatchLoader,
        val: BatchLoader | None,
        metrics: Sequence[str],
        on_epoch: Callable[[int, dict[str, float]], None],
    ) -> None:
        super().__init__()
        self.network = network
        self.frozen = FrozenPart(network)
        self.task = task
        self.average = (
            WeightAverage(network.model, recipe.averaging) if recipe.averaging is not None else None
        )
        # What the last finished epoch measured: train/..., val/..., lr, samples_per_second.
        self.epoch_metrics: dict[str, float] = {}
        self.epoch_seconds = 0.0
        self.automatic_optimization = train.chunk is None
        self._recipe = recipe
        self._train = train
        self._val = val
        self._on_epoch = on_epoch
        self._schedule: Schedule | None = None
        self._batch_idx = -1
        self._averaged_step = 0
        self._losses: list[Tensor] = []
        self._within_epoch: Any = None
        self._train_scores = Scores(task, metrics)
        self._val_scores = Scores(task, metrics)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of training rows."""
        return self._train.batches

    @property
    def judged(self) -> Network:
        """The network that is validated, and whose weights are kept: the averaged one, once there is an average."""
        if self.average is None or not self.average.updates:
            return self.network
        return self.network.with_model(self.average.model)

    def configure_optimizers(self) -> Any:
        """The optimizer of all parameters that train, and its schedule."""
        optimizer = self._recipe.make_optimizer(self.network.trained_parameters())
        if self._recipe.make_schedule is None:
            return optimizer
        gathered = self.trainer.accumulate_grad_batches
        self._schedule = self._recipe.make_schedule(
            optimizer, self._total_steps, -(-self._train.batches // gathered)
        )
        config: dict[str, Any] = {"scheduler": self._schedule.scheduler}
        if self.automatic_optimization:
            # Lightning would step a plateau's scheduler only after the checkpoint is written: `end_epoch` does it.
            config |= {"interval": self._schedule.interval, "reduce_on_plateau": False}
        return {"optimizer": optimizer, "lr_scheduler": config}

    @property
    def _total_steps(self) -> int | None:
        if self.automatic_optimization:
            steps = self.trainer.estimated_stepping_batches
            return int(steps) if math.isfinite(steps) else None
        epochs = self.trainer.max_epochs
        return self._train.batches * epochs if epochs is not None and epochs >= 0 else None

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Lightning calls this after steps and epochs; those of an epoch are `end_epoch`'s."""
        if self._schedule is not None:
            self._schedule.end_step()

    def setup(self, stage: str) -> None:
        """Move the data to the device, once."""
        for loader in (self._train, self._val):
            if loader is not None:
                loader.fields = {name: values.to(self.device) for name, values in loader.fields.items()}

    def release_rows(self) -> None:
        """Let go of the data: Lightning's trainer and this module hold each other, and it, long after a training."""
        for loader in (self._train, self._val):
            if loader is not None:
                loader.fields = {}

    def train_dataloader(self) -> BatchLoader:
        """Batches of training rows."""
        return self._train

    def val_dataloader(self) -> BatchLoader | list[Any]:
        """Batches of validation rows; where there are none, the trainer is told not to ask."""
        return self._val if self._val is not None else []

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The data is there already."""
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment a single batch of training rows; those of a chunk are augmented as they are read."""
        if self._recipe.augment is None or isinstance(batch, Chunk) or not self.trainer.training:
            return batch
        return self._recipe.augment(batch)

    def on_train_epoch_start(self) -> None:
        """Reseed for this epoch, and start its clock."""
        self._train.epoch = self.current_epoch
        self.network.start_epoch(self.current_epoch)
        rank = self._train.rank
        torch.manual_seed(derive_seed(self._recipe.seed, self.current_epoch, *([rank] if rank else [])))
        self._losses.clear()
        self._batch_idx = -1
        self.epoch_metrics = {}
        # The rate that the epoch starts with; a schedule has moved on when the epoch ends.
        self._epoch_lr = self.learning_rate
        self._started = time.perf_counter()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Without what never changes; in the middle of an epoch, with what it has drawn and counted."""
        self.frozen.leave_out(checkpoint)
        if self._losses:
            own = {
                "random": random_state(),
                "rows": self._train.state_dict(),
                "losses": torch.stack(self._losses),
                "scores": self._train_scores.state_dict(),
                "metrics": dict(self.epoch_metrics),
                "lr": self._epoch_lr,
            }
            checkpoint["within_epoch"] = all_parts(own, self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep that until the training goes on."""
        self.frozen.put_back(checkpoint, self.state_dict())
        self._within_epoch = checkpoint.get("within_epoch")

    def on_train_start(self) -> None:
        """Go on in the middle of an epoch, which Lightning does not start again."""
        self._averaged_step = self.trainer.global_step
        if self._within_epoch is None:
            return
        within = own_part(self._within_epoch, self._train.rank, self._train.ranks, self.device)
        self._within_epoch = None
        self.on_train_epoch_start()
        # Lightning does so too, but not where a schedule made it count the batches before the checkpoint was read.
        self._train.load_state_dict(within["rows"])
        self.epoch_metrics, self._epoch_lr = within["metrics"], within["lr"]
        if (
            self.automatic_optimization
        ):  # the checkpoint was written between the step and its part in the average
            self._update_average(epoch_ends=False)
        if "scores" in within:
            self._losses.extend(within["losses"].unbind())
            self._train_scores.load_state_dict(within["scores"])
            set_random_state(within["random"])

    def training_step(self, batch: Batch | Chunk, batch_idx: int) -> Tensor | None:
        """One step that Lightning completes, or a chunk of whole steps."""
        if self.automatic_optimization:
            # L-BFGS asks several times for one batch's loss: the first is what the epoch's figures count.
            counts, self._batch_idx = batch_idx != self._batch_idx, batch_idx
            return self._loss(batch, counts)
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        one: Any
        for one in batch:
            if self._recipe.augment is not None:
                one = self._recipe.augment(one)
            asked = False

            def closure(one: Any = one) -> Tensor:
                nonlocal asked
                counts, asked = not asked, True
                loss = self._loss(one, counts)
                optimizer.zero_grad()
                # Lightning's own tells DDP of it; alone it would only cost time.
                if self._train.ranks > 1:
                    self.manual_backward(loss)
                else:
                    loss.backward()
                return loss.detach()

            optimizer.step(closure)
            if self._schedule is not None:
                self._schedule.end_step()
            self._update_average(epoch_ends=False)
        return None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the new weights into the average, unless gradients are still being gathered."""
        if self.automatic_optimization and self.trainer.global_step != self._averaged_step:
            self._averaged_step = self.trainer.global_step
            self._update_average(epoch_ends=False)

    def _update_average(self, *, epoch_ends: bool) -> None:
        if self.average is None:
            return
        measure = self.average.update(
            self.network.model, self.current_epoch, self.trainer.max_epochs, epoch_ends=epoch_ends
        )
        if measure:
            rows = BatchLoader(self._train.fields, self._train.batch_size, join_single=True)
            measure_batch_norm(self.judged, self.network.model, rows)

    def _loss(self, batch: Any, counts: bool) -> Tensor:
        outputs = self.network(batch)
        loss = self.task.loss(outputs, batch["y"])
        if "y_mixed" in batch:
            loss = torch.lerp(loss, self.task.loss(outputs, batch["y_mixed"]), batch["share"])
        weighted = loss * batch["rank_weight"] if "rank_weight" in batch else loss
        if not counts:
            return weighted
        self._train_scores.update(outputs, batch["y"])
        self._losses.append(loss.detach())
        if len(self._losses) % _CHECK_EVERY == 0:
            self._check_finite(self._losses[-_CHECK_EVERY:], first=len(self._losses) - _CHECK_EVERY)
        return weighted

    def _check_finite(self, losses: list[Tensor], first: int = 0) -> None:
        finite = torch.isfinite(torch.stack(losses))
        if not bool(finite.all()):
            step = first + int((~finite).nonzero()[0]) + 1
            value = float(losses[step - first - 1])
            raise Diverged(
                f"the training loss became {value} in epoch {self.current_epoch}, step {step} of {self._train.batches}",
                where="train/loss",
                hint=self._advice,
            )

    @property
    def _advice(self) -> str:
        return (
            f"Lower optimizer.lr (it is {self.learning_rate:g}), clip gradients (trainer.gradient_clip_val=1.0), "
            "or train with trainer.precision=32."
        )

    @property
    def learning_rate(self) -> float:
        """The first parameter group's learning rate."""
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        return float(optimizer.param_groups[0]["lr"])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the outputs; they are judged at the epoch's end."""
        self._val_scores.update(self.judged(batch), batch["y"])

    def on_validation_epoch_start(self) -> None:
        """Training's part of the epoch ends here."""
        self._end_of_training()

    def on_validation_epoch_end(self) -> None:
        """Log what the validation rows say."""
        scores = {f"val/{name}": value for name, value in self._val_scores.compute().items()}
        self.epoch_metrics.update(scores)
        self.log_dict(scores)
        if not math.isfinite(scores["val/loss"]):
            raise Diverged(
                f"the validation loss became {scores['val/loss']} in epoch {self.current_epoch}",
                where="val/loss",
                hint=self._advice,
            )

    def on_train_epoch_end(self) -> None:
        """Log what the training rows said along the way, and report the epoch."""
        self._end_of_training()
        scores = {f"train/{name}": value for name, value in self._train_scores.compute().items()}
        self.log_dict(scores)
        self.epoch_metrics = {
            **scores,
            **self.epoch_metrics,
            "lr": self._epoch_lr,
            "samples_per_second": self._train.rows / self.epoch_seconds,
        }
        if self._schedule is not None:
            self._schedule.end_epoch(self.epoch_metrics.get(self._recipe.monitor))
        self._on_epoch(self.current_epoch, self.epoch_metrics)

    def _end_of_training(self) -> None:
        if self._losses:
            self._check_finite(self._losses)
            self._losses.clear()
            self.epoch_seconds = time.perf_counter() - self._started
            self._update_average(epoch_ends=True)

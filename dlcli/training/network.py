"""`Network`: a model together with the part of the preprocessing that runs on the device."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.tasks.base import Task
from dlcli.training.biases import mark_biases
from dlcli.training.finetuning import Finetuning, Group, keep_frozen
from dlcli.training.turns import turn_groups, turn_parts

# Function from a batch of training rows to an augmented one.
Augmentation = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


class Prepared(dict[str, Tensor]):
    """A batch with prepared `x`, which the network does not prepare again."""


class Network(nn.Module):
    """Module that maps a batch, a dict of tensors, to outputs.

    The model's `forward` is called with the fields that its signature names. A model with `takes_raw` gets `x` without
    the `on_device` part of the preprocessing, and scales it itself.

    A model with an attribute `members` is an ensemble of that many models: it returns the outputs of each,
    `(N, members, ...)`. The network returns them in training, where each member has its own loss. In evaluation it
    returns the outputs of the ensemble, `(N, ...)`, so that everything except training treats it as one model. The
    outputs of a single member, `(N, 1, ...)`, are those of one model.

    Args:
        model: model that computes the outputs.
        on_device: the last part of the preprocessing, which runs on the device.
        finetuning: method that determines the trained parts; None trains all parts.
        combine: function from the outputs of members to those of the ensemble, `Task.combined`; None averages outputs.
        rows_at_once: number of input rows in a batch without gradients, `Task.rows_at_once`.
        calibration: calibration of the outputs in evaluation, `Task.calibration`.
        finish: function from the model's return value and the batch to outputs, `Task.outputs`; None for the identity.

    Raises:
        ConfigError: the model's `members` is not a positive integer.
    """

    def __init__(
        self,
        model: nn.Module,
        on_device: nn.Module | None = None,
        finetuning: Finetuning | None = None,
        combine: Callable[[Tensor], Tensor] | None = None,
        rows_at_once: int = 512,
        calibration: nn.Module | None = None,
        finish: Callable[[Tensor, Mapping[str, Tensor]], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._finish = finish
        self.rows_at_once = rows_at_once
        self.members = _members(model)
        self._of_one_member = self.members == 1 and hasattr(model, "members")
        self.calibration = calibration
        self._combine = combine or partial(torch.mean, dim=1)
        self.model = model
        self.on_device = None if getattr(model, "takes_raw", False) else on_device
        self.finetuning = finetuning
        self._epoch = 0
        if finetuning is not None:
            finetuning.prepare(self._trained)
            self.train()
        self._inputs = tuple(inspect.signature(model.forward).parameters)

    def with_model(self, model: nn.Module) -> Network:
        """Return the same network with another model of the same kind; the modes of its layers are not changed."""
        network = Network(
            model,
            self.on_device,
            combine=self._combine,
            rows_at_once=self.rows_at_once,
            calibration=self.calibration,
            finish=self._finish,
        )
        network.finetuning = self.finetuning  # the model is already prepared
        network.training = model.training
        return network

    def calibrated_by(self, calibration: nn.Module | None) -> Network:
        """Return the same network with another calibration."""
        network = self.with_model(self.model)
        network.calibration = calibration
        return network

    def model_to_keep(self) -> nn.Module:
        """Return the model to save, without parts that only training needs."""
        merged = getattr(self.finetuning, "merged", None)
        return merged(self.model) if merged is not None else self.model

    @property
    def _trained(self) -> Any:
        """The model; a check has ensured that it can be fine-tuned."""
        return self.model

    def trained_parameters(self) -> list[nn.Parameter] | list[Group]:
        """Return the parameters trained in any epoch, or groups of them with an `lr_share` each.

        Biases are marked.
        """
        mark_biases(self)
        if self.finetuning is None and turn_parts(self.model):
            return turn_groups(self.model)
        if self.finetuning is None:
            return [parameter for parameter in self.parameters() if parameter.requires_grad]
        groups = self.finetuning.groups(self._trained)
        return groups if len(groups) > 1 else groups[0]["params"]

    def start_epoch(self, epoch: int) -> None:
        """Unfreeze the parts that are trained from this epoch on."""
        self._epoch = epoch
        if self.finetuning is not None and self.finetuning.start_epoch(self._trained, epoch):
            self.train(self.training)

    @property
    def rests(self) -> bool:
        """Whether the current epoch takes no steps: it evaluates the solved head that training starts from."""
        return self._epoch == 0 and getattr(self.finetuning, "solves_head", False)

    @property
    def keeps_statistics(self) -> bool:
        """Whether batch normalization uses the statistics that the model began with."""
        return getattr(self.finetuning, "keep_statistics", False)

    def at_rest(self, task: Task, batch: Any, count: Callable[[Tensor, Tensor, Any], object]) -> Any:
        """Evaluate a batch, or those of a chunk, without steps; `count` gets loss, outputs and batch. Returns None."""
        with torch.no_grad():
            self.eval()
            for one in [batch] if isinstance(batch, Mapping) else batch:
                count(*task.step(self, one), one)
            self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the training mode, except for frozen parts."""
        super().train(mode)
        if mode and self.finetuning is not None:
            keep_frozen(self.model, self.keeps_statistics)
        return self

    def evaluation_rows(self, batch_size: int = 1) -> int:
        """Return the batch size of an evaluation, at least `batch_size`; usually 512 rows of the model's input.

        A model of series may process one input row per variable. The number is fixed, so that results are reproducible.
        """
        return max(batch_size, self.rows_at_once // getattr(self.on_device, "sharing", 1), 1)

    def prepare(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the batch with prepared `x`, for `forward(..., prepared=True)`."""
        if self.on_device is None or "x" not in batch or hasattr(self.on_device, "restore"):
            return batch
        return {**batch, "x": self.on_device(batch["x"])}

    def augmented(self, augment: Augmentation, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return an augmented batch; an augmentation with `of_prepared` receives prepared `x`."""
        if not getattr(augment, "of_prepared", False):
            return augment(batch)
        return Prepared(augment(self.prepare(batch)))

    def forward(self, batch: Mapping[str, Tensor], prepared: bool = False) -> Tensor:
        """Return the outputs, `(N, ...)`; `prepared` batches come from `prepare`."""
        outputs = self._outputs(batch, prepared or isinstance(batch, Prepared))
        if self._finish is not None:
            outputs = self._finish(outputs, batch)
        if self.training:
            return outputs
        whole = outputs if self.members == 1 else self._combine(outputs)
        return whole if self.calibration is None else self.calibration(whole)

    def loss(self, task: Task, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch's outputs; in training the mean over all members."""
        if not self.training or self.members == 1:
            return task.loss(outputs, y)
        return task.loss(outputs.flatten(0, 1), y.repeat_interleave(self.members, dim=0))

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the outputs of the ensemble, `(N, ...)`, for outputs in training, without gradients."""
        if not self.training or self.members == 1:
            return outputs.detach()
        with torch.no_grad():
            return self._combine(outputs)

    def _outputs(self, batch: Mapping[str, Tensor], prepared: bool) -> Tensor:
        outputs = self._restored(batch, prepared)
        return outputs.flatten(0, 1) if self._of_one_member else outputs

    def taken(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the fields of a batch that the model takes."""
        return {name: batch[name] for name in self._inputs if name in batch}

    def _restored(self, batch: Mapping[str, Tensor], prepared: bool) -> Tensor:
        """Return what the model returns, in the units of the series if the preprocessing scales each row."""
        outputs = self.of_model(batch, prepared)
        restore = getattr(self.on_device, "restore", None)
        if restore is None or "x" not in self.taken(batch):
            return outputs
        if self.members == 1:
            return restore(outputs, batch["x"])
        return torch.stack([restore(member, batch["x"]) for member in outputs.unbind(dim=1)], dim=1)

    def of_model(self, batch: Mapping[str, Tensor], prepared: bool) -> Tensor:
        """Return what the model returns, in the units that the preprocessing passes to it."""
        fields = self.taken(batch)
        if self.on_device is None or "x" not in fields:
            return self.model(**fields)
        if prepared and not hasattr(self.on_device, "restore"):
            return self.model(**fields)
        return self.model(**{**fields, "x": self.on_device(fields["x"])})


def _members(model: nn.Module) -> int:
    members = getattr(model, "members", 1)
    if type(members) is not int or members < 1:
        found = members if isinstance(members, int) else f"a {type(members).__name__}"
        raise ConfigError(
            f"{type(model).__name__} has an attribute members that is {found}, not a number of models from 1 on",
            "model",
            "Rename the attribute, or for an ensemble, set it to the number of models.",
        )
    return members

"""Averages of the weights over the training, which often generalise better than the last ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Annotated, ClassVar, Protocol

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlcli.training.fields import Batch
from dlcli.training.network import Network


class Averaging(Protocol):
    """When the average takes the current weights in, and with what share.

    Attributes:
        measures_batch_norm: whether the running statistics of batch normalisation are measured anew with the averaged
            weights; else they are averaged as weights are.
    """

    measures_batch_norm: ClassVar[bool]

    def due(self, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """Whether now: after a step, or at the end of an epoch (counted from 0)."""

    def share(self, updates: int) -> float:
        """The share of the current weights in the new average, after so many updates."""


class EMA:
    """Exponential moving average over the steps (Polyak and Juditsky, 1992).

    It starts with a short memory, `min(decay, (1 + n) / (10 + n))` after n steps, lest it hold on to the first weights.
    """

    measures_batch_norm: ClassVar = False

    def __init__(self, decay: Annotated[float, Gt(0), Lt(1)] = 0.999) -> None:
        self.decay = decay

    def due(self, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """After each step."""
        return not epoch_ends

    def share(self, updates: int) -> float:
        """1 - decay, and more at first."""
        return 1 - min(self.decay, (1 + updates) / (10 + updates))


class SWA:
    """Stochastic weight averaging (Izmailov et al., 2018): the plain mean over the last epochs' weights.

    Where the model normalises batches, each epoch from `start` on ends with one more pass over the training rows, which
    measures their statistics for the averaged weights.

    Args:
        start: where it starts, as a share of `trainer.max_epochs`; until then the current weights are judged and kept.
    """

    measures_batch_norm: ClassVar = True

    def __init__(self, start: Annotated[float, Ge(0), Lt(1)] = 0.75) -> None:
        self.start = start

    def due(self, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """At the end of each epoch from `start` on."""
        return epoch_ends and max_epochs is not None and epoch >= int(self.start * max_epochs)

    def share(self, updates: int) -> float:
        """All weights so far count alike."""
        return 1 / (updates + 1)


class WeightAverage(nn.Module):
    """A copy of a model with averaged weights."""

    def __init__(self, model: nn.Module, averaging: Averaging) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.updates = 0
        self._averaging = averaging

    @torch.no_grad()
    def update(self, model: nn.Module, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """Take the model's weights in where it is time; tells whether batch statistics have to be measured now."""
        if not self._averaging.due(epoch, max_epochs, epoch_ends=epoch_ends):
            return False
        share = self._averaging.share(self.updates) if self.updates else 1.0
        current = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], share)
            else:
                average.copy_(current[name])
        self.updates += 1
        return self._averaging.measures_batch_norm

    def get_extra_state(self) -> int:
        """The number of updates, for checkpoints."""
        return self.updates

    def set_extra_state(self, state: int) -> None:
        """Go on counting."""
        self.updates = state


@torch.no_grad()
def measure_batch_norm(network: Network, trained: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the running statistics of batch normalisation to their means over batches of rows.

    Only those layers are in training mode meanwhile: nothing is drawn at random. Every layer ends in the mode in which
    it was.

    Args:
        network: its model has averaged weights.
        trained: the model that they are the average of; what is frozen there keeps its statistics.
        batches: of training rows.
    """
    layers = [
        layer
        for layer, original in zip(network.model.modules(), trained.modules(), strict=True)
        if isinstance(layer, _BatchNorm) and layer.track_running_stats and not _is_frozen(original)
    ]
    if not layers:
        return
    modes = {module: module.training for module in network.modules()}
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    for batch in batches:
        network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, was_training in modes.items():
        module.training = was_training


def _is_frozen(layer: nn.Module) -> bool:
    parameters = list(layer.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)

"""Averages of the weights over training, which often generalize better than the last weights."""

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
    """Schedule of the average: when it is updated, and the share of the current weights.

    Attributes:
        measures_batch_norm: whether the running statistics of batch normalization are recomputed with the averaged
            weights. Otherwise they are averaged like the weights.
        depends_on_length: whether the updates depend on `max_epochs`, so that a run cannot be extended.
    """

    measures_batch_norm: ClassVar[bool]
    depends_on_length: ClassVar[bool]

    def due(self, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """Return whether to update now: after a step, or at the end of an epoch (counted from 0)."""

    def share(self, updates: int) -> float:
        """Return the share of the current weights in the new average, given the number of updates so far."""


class EMA:
    """Exponential moving average over the steps (Polyak and Juditsky, 1992).

    The decay after n steps is `min(decay, (1 + n) / (10 + n))`, so that the influence of the first weights vanishes
    soon.
    """

    measures_batch_norm: ClassVar = False
    depends_on_length: ClassVar = False

    def __init__(self, decay: Annotated[float, Gt(0), Lt(1)] = 0.999) -> None:
        self.decay = decay

    def due(self, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """Return True after each step."""
        return not epoch_ends

    def share(self, updates: int) -> float:
        """Return 1 - decay, and more during the first steps."""
        return 1 - min(self.decay, (1 + updates) / (10 + updates))


class SWA:
    """Stochastic weight averaging (Izmailov et al., 2018): the plain mean over the last epochs' weights.

    If the model has batch normalization, each epoch from `start` on ends with an additional pass over the training
    rows, which recomputes the running statistics with the averaged weights.

    Args:
        start: the first averaged epoch, as a share of `trainer.max_epochs`. Before it, the current weights are
            evaluated and saved.
    """

    measures_batch_norm: ClassVar = True
    depends_on_length: ClassVar = True

    def __init__(self, start: Annotated[float, Ge(0), Lt(1)] = 0.75) -> None:
        self.start = start

    def due(self, epoch: int, max_epochs: int | None, *, epoch_ends: bool) -> bool:
        """Return True at the end of each epoch from `start` on."""
        return epoch_ends and max_epochs is not None and epoch >= int(self.start * max_epochs)

    def share(self, updates: int) -> float:
        """Return the share by which all averaged weights have equal weight."""
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
        """Update the average if it is due; return whether the batch statistics have to be recomputed now."""
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
        """Return the number of updates, for checkpoints."""
        return self.updates

    def set_extra_state(self, state: int) -> None:
        """Restore the number of updates."""
        self.updates = state


@torch.no_grad()
def measure_batch_norm(network: Network, trained: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the running statistics of batch normalization to their means over batches of rows.

    Only these layers are in training mode, so that no random numbers are drawn. Afterwards the mode of every layer is
    restored.

    Args:
        network: network of a model with averaged weights.
        trained: the model whose weights were averaged. Its frozen layers keep their statistics, as do all layers with
            `finetune.keep_statistics`.
        batches: batches of training rows.
    """
    if network.keeps_statistics:
        return
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

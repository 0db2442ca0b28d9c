"""Training steps for a look ahead: on a copy, so that the training itself starts as if nothing had been."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dlcli.tasks.base import Task
from dlcli.training import memory
from dlcli.training.fields import Batch, Fields
from dlcli.training.loader import BatchLoader, derive_seed
from dlcli.training.network import Network
from dlcli.training.recipe import Recipe


class Tryout:
    """A network's copy, its optimizer, and batches without end.

    Args:
        batch_size: rows of a batch.
        network: is copied.
        task: gives the loss.
        train: the training rows.
        recipe: gives the optimizer, and the seed of order and dropout.
        device: where to train.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        network: Network,
        task: Task,
        train: Fields,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.network = copy.deepcopy(network).to(device).train()
        self.task = task.to(device)
        self.optimizer = recipe.make_optimizer(self.network.trained_parameters())
        self.device = device
        fields = {name: values.to(device) for name, values in train.items()}
        self._loader = BatchLoader(fields, batch_size, shuffle=True, seed=derive_seed(recipe.seed, 0))
        self._batches = self._endless()

    @property
    def rows(self) -> int:
        """How many training rows there are."""
        return self._loader.rows

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._loader
            self._loader.epoch += 1

    def step(self) -> float:
        """One step on the next batch; its loss, from before the step.

        Raises:
            OutOfMemory: the batch does not fit.
        """
        batch = next(self._batches)
        first: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.task.loss(self.network(batch), batch["y"])
            loss.backward()
            first.append(loss.detach())
            return loss.detach()

        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except Exception as error:
            if memory.is_out_of_memory(error):
                fields, size = self._loader.fields, self._loader.batch_size
                raise memory.explain(self.network, self.task, fields, size, self.device) from error
            raise
        return float(first[0])


@dataclass(frozen=True)
class Found:
    """What a finder found.

    `key` is the setting and `value` what is best for it; `tried` are its values and `measured` what each was worth, in
    the quantity and unit that `measure` names.
    """

    key: str
    value: Any
    tried: list[float]
    measured: list[float]
    measure: str
    reason: str


class Finder(Protocol):
    """Looks for the best value of one setting before the training starts."""

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> Found:
        """Try out batches of a size, as often as need be; `batch_size` is the configured one."""

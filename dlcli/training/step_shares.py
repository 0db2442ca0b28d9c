"""The weights of batches, and of their parts on several processes, in the loss of an optimizer step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from dlcli.distributed.collectives import summed
from dlcli.tasks.base import Task
from dlcli.tasks.batch_steps import BatchSteps
from dlcli.training.network import Network
from dlcli.training.step_plan import StepPlan


class StepShares:
    """Weights of the mean losses of batches, by which a step is the mean over all of its rows, words or objects.

    The numbers of rows are planned. The number of words or objects of a batch is known when it is computed, and that of
    its group of batches only at the end: a loss is weighted by its number relative to the first batch of the group, and
    the gradients are divided at the end of the group. The loss of a batch without any is a sum, that of the background
    of images without objects, or 0.

    Args:
        task: the task; its `loss_weight` is the number of rows, words or objects that a loss is the mean of.
        network: combines the outputs of its members, if it has several.
        plan: the steps of each epoch.
        ranks: number of processes, each of which has a part of every batch.
    """

    def __init__(self, task: Task, network: Network, plan: StepPlan, ranks: int) -> None:
        joins = ranks > 1 or max(plan.accumulated.values()) > 1
        self._counts = joins and type(task).loss_weight is not BatchSteps.loss_weight
        self._task = task
        self._network = network
        self._plan = plan
        self._ranks = ranks
        self._number = self._first = self._sum = 0.0

    @torch.no_grad()
    def of_rank(self, outputs: Any, batch: Mapping[str, Tensor]) -> float | Tensor:
        """Return the weight of this process's mean loss in the mean over the processes."""
        if not self._counts:
            return batch.get("rank_weight", 1.0)
        kept = self._task.kept(self._network.combined(outputs).detach(), batch["y"])
        own = float(self._task.loss_weight(*kept))
        if self._ranks == 1:
            self._number = own
            return 1.0
        self._number = float(summed(torch.tensor(own, dtype=torch.float32, device=batch["y"].device)))
        return max(own, 1.0) * self._ranks / max(self._number, 1.0)

    def of_batch(self, epoch: int, batch: int) -> float:
        """Return the weight of the last computed batch in its group, times the number of batches per step."""
        if not self._counts:
            return self._plan.weight(epoch, batch)
        if batch % self._plan.group(epoch) == 0:
            self._first, self._sum = max(self._number, 1.0), 0.0
        self._sum += self._number
        return max(self._number, 1.0) / self._first

    def after_backward(self, epoch: int, batch: int, parameters: Iterable[Parameter]) -> None:
        """Divide the gradients of a complete group by its number of words or objects."""
        group, done = self._plan.group(epoch), batch + 1
        if not self._counts or (done % group and done != self._plan.batches):
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        scale = group * self._first / max(self._sum, 1.0)
        if gradients and scale != 1:
            torch._foreach_mul_(gradients, scale)

"""The loss of a batch as a function of what the model returns, before that is restored to the units of a series."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from dlcli.tasks.base import Task
from dlcli.training.fields import Batch
from dlcli.training.network import Network


def loss_before_restoring(
    network: Network, task: Task, batch: Batch, prepared: bool
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return the loss as a function of the model's own outputs, and these outputs.

    Args:
        network: the network, whose preprocessing may give each row units of its own.
        task: task that computes the loss.
        batch: the batch.
        prepared: whether it comes from `network.prepare`.
    """
    restore = getattr(network.on_device, "restore", None)
    if restore is None:
        return lambda outputs: task.loss(outputs, batch["y"]), network(batch, prepared=prepared)
    outputs = network.of_model(batch, prepared)
    return lambda outputs: task.loss(restore(outputs, batch["x"]), batch["y"]), outputs

"""Dispatch of optimizers that use all training rows: their steps, and the outputs for validation rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from torch import Tensor

from dlcli.tasks.base import Task
from dlcli.training.fields import Batch
from dlcli.training.grow_trees import GrowTrees
from dlcli.training.network import Network
from dlcli.training.penalty_path import solve_pieces


def solve(
    optimizer: Any,
    pieces: Any,
    network: Network,
    task: Task,
    backward: Callable[[Tensor], None],
    rows: int,
    ranks: int = 1,
) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """Perform the step of an optimizer that uses all rows; see `solve_pieces` for arguments and result."""
    if isinstance(optimizer, GrowTrees):
        return optimizer.solve(pieces, network, task, ranks)
    return solve_pieces(optimizer, pieces, network, task, backward, rows, ranks)


def outputs_of(
    optimizer: Any, network: Network, task: Task, batch: Batch, number: int, metrics: Collection[str]
) -> Any:
    """Return the outputs for a batch of validation rows; for forests, only new trees are evaluated."""
    if isinstance(optimizer, GrowTrees):
        return optimizer.outputs(network, batch, number)
    return task.evaluated(network, batch, batch["y"], metrics)

"""`EnsembleNetwork`: the networks of an ensemble as one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.inference.saved_model import SavedModel
from dlcli.tasks.base import Task
from dlcli.training.network import Network


class EnsembleNetwork(Network):
    """Maps a batch to the outputs of an ensemble, `(N, ...)`, in the units of its task.

    Members that share a preprocessing form a group; the fields of group G, counted from 1, are named `x_G` and so on.

    Args:
        members: The models, and how often each counts.
        task: The task of the ensemble.
        combines: Whether to return the outputs of the ensemble instead of those of each member, `(N, K, ...)`.
    """

    def __init__(
        self, members: Sequence[tuple[SavedModel, int]], task: Task, *, combines: bool = True
    ) -> None:
        models = [model for model, _ in members]
        super().__init__(_Members([model.network for model in models]))
        self.networks = [model.network for model in models]
        self.tasks = [model.task for model in models]
        self.groups = groups_of(models)
        self.counts = [count for _, count in members]
        self.task = task
        self._given = list(members)
        self._combines = combines

    def uncombined(self) -> EnsembleNetwork:
        """Return the network that returns the outputs of each member."""
        return EnsembleNetwork(self._given, self.task, combines=False)

    def combined_members(self, outputs: Tensor) -> Tensor:
        """Return the outputs of the ensemble from those of its members, `(N, K, ...)`."""
        repeated = [
            found
            for found, count in zip(outputs.unbind(dim=1), self.counts, strict=True)
            for _ in range(count)
        ]
        return self.task.combined(torch.stack(repeated, dim=1))

    def taken(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the fields of a batch that any member takes."""
        found: dict[str, Tensor] = {}
        for place, group in enumerate(self.groups, start=1):
            ending = f"_{place}"
            fields = {name.removesuffix(ending): v for name, v in batch.items() if name.endswith(ending)}
            for number in group:
                found |= {f"{name}{ending}": v for name, v in self.networks[number].taken(fields).items()}
        return found

    def evaluation_rows(self, batch_size: int = 1) -> int:
        """Return the number of rows per batch of an evaluation, the smallest of any member's."""
        return min(network.evaluation_rows(batch_size) for network in self.networks)

    def forward(self, batch: Mapping[str, Tensor], prepared: bool = False) -> Tensor:
        """Return the outputs."""
        found: dict[int, Tensor] = {}
        for place, group in enumerate(self.groups, start=1):
            ending = f"_{place}"
            fields = {name.removesuffix(ending): v for name, v in batch.items() if name.endswith(ending)}
            for number in group:
                found[number] = self.task.converted(self.networks[number](fields), self.tasks[number])
        outputs = torch.stack([found[number] for number in range(len(found))], dim=1)
        return self.combined_members(outputs) if self._combines else outputs


class _Members(nn.Module):
    """Holds the networks of the members, so that they are moved together."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        longest = [getattr(network.model, "longest_text", None) for network in networks]
        self.longest_text = min((length for length in longest if length), default=None)

    def forward(self) -> None:
        """Members are called one by one."""


def groups_of(models: Sequence[SavedModel]) -> list[list[int]]:
    """Group models (by position) that share a preprocessing, which must be one without a fitted state."""
    groups: dict[Any, list[int]] = {}
    for number, model in enumerate(models):
        preprocessing: Any = model.preprocessing
        shared = not getattr(preprocessing, "transform_is_fitted", True)
        groups.setdefault(repr(preprocessing) if shared else number, []).append(number)
    return list(groups.values())

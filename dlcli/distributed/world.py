"""The processes of one training, and how they find each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from lightning_fabric.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from torch import Tensor, distributed

from dlcli.distributed.launcher import is_launched, is_slurm

# Rank 0 may read and plan for long before it has a job for the others.
_PATIENCE = timedelta(days=7)


@dataclass
class World:
    """A process's place among those that train together.

    Attributes:
        rank: its number; 0 keeps the record.
        local_rank: its number on this machine, which is that of its device.
        node: the machine's number.
        size: how many there are.
        store: what they tell each other before they are a group: jobs, errors.
        job: how many jobs are behind them.
    """

    rank: int
    local_rank: int
    node: int
    size: int
    store: Any
    job: int = field(default=0)

    def hand_out(self, job: str) -> None:
        """Give the other ranks a job; an empty one is the last."""
        self.store.set(f"job/{self.job}", job)

    def take(self) -> str:
        """Wait for rank 0's next job."""
        key = f"job/{self.job}"
        self.store.wait([key], _PATIENCE)
        return self.store.get(key).decode()

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Be a process group for one job."""
        store = distributed.PrefixStore(f"group/{self.job}", self.store)
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=self.rank, world_size=self.size)
        try:
            yield
        finally:
            # Whoever is alone from here on must not wait for others: torchmetrics would.
            distributed.destroy_process_group()
            self.job += 1


class Place(LightningEnvironment):
    """Tells Lightning where in the world this process is, so that it starts no processes of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    @property
    def creates_processes_externally(self) -> bool:
        """They are there."""
        return True

    def world_size(self) -> int:
        """All processes."""
        return self._world.size

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """This process's number."""
        return self._world.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """Its device's number."""
        return self._world.local_rank

    def node_rank(self) -> int:
        """Its machine's number."""
        return self._world.node

    def teardown(self) -> None:
        """Leave the launcher's variables as they are: there may be a next job."""


@cache
def launched() -> World | None:
    """This process's place where somebody has started several; None where it is alone."""
    if not is_launched():
        return None
    environment = SLURMEnvironment() if is_slurm() else TorchElasticEnvironment()
    rank, size = environment.global_rank(), environment.world_size()
    # torchrun's own process may serve the store on that port; elsewhere rank 0 does.
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = distributed.TCPStore(
        environment.main_address,
        environment.main_port,
        is_master=rank == 0 and not served,
        wait_for_workers=False,
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    ours = distributed.PrefixStore(f"dlcli/{attempt}", store)
    return World(rank, environment.local_rank(), environment.node_rank(), size, ours)


def summed(values: Tensor) -> Tensor:
    """The sum over all ranks; of a process that is alone, its own."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(values)
    return values

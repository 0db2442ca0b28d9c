"""The processes of one training run: their communication outside a process group, and forming the group."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
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
from torch import distributed

from dlcli.distributed.launcher import is_launched, is_slurm
from dlcli.errors import DlcliError, describe_error, restore_error

# Rank 0 may read data and plan for a long time before it has a job for the others.
_PATIENCE = timedelta(days=7)

# Limit on connecting, once all ranks are ready: gloo does not notice a rank that dies before it has connected.
_CONNECTING = timedelta(minutes=2)

# Seconds that ranks have to report their errors once one of them has failed.
_REPORT_SECONDS = 10.0
_POLL = 0.02


class RankLost(Exception):
    """A rank has ended before the process group was formed."""


@dataclass
class World:
    """A process's position among the processes that train together.

    Attributes:
        rank: global rank; rank 0 writes the record.
        local_rank: rank on this machine, and index of its device.
        node: rank of the machine.
        size: number of processes.
        store: key-value store by which the processes exchange jobs and errors outside a process group.
        job: number of finished jobs.
        ending: returns the way in which another process has ended, if it is known to this process.
    """

    rank: int
    local_rank: int
    node: int
    size: int
    store: Any
    job: int = field(default=0)
    ending: Callable[[], DlcliError | None] = field(default=lambda: None)

    def send_job(self, job: str) -> None:
        """Send a job to the other ranks; an empty one ends them."""
        self.store.set(f"job/{self.job}", job)

    def take(self) -> str:
        """Wait for rank 0's next job and return it."""
        key = f"job/{self.job}"
        self.store.wait([key], _PATIENCE)
        return self.store.get(key).decode()

    def fail(self, error: Exception) -> None:
        """Report this rank's error to rank 0, unless the error only says that another rank is gone."""
        if not is_lost(error):
            self.store.set(f"error/{self.rank}", json.dumps(describe_error(error)))

    def reason(self, error: Exception) -> DlcliError | None:
        """Return the error of the rank that failed, if `error` only says that another rank is gone; otherwise None."""
        if not is_lost(error):
            return None
        end = time.monotonic() + _REPORT_SECONDS
        while True:
            # The order matters: a rank reports its error before it ends.
            ended = self.ending()
            reason = self._reported() or ended
            if reason or time.monotonic() > end:
                return reason
            time.sleep(_POLL)

    def _reported(self) -> DlcliError | None:
        for rank in range(1, self.size):
            if self.store.check([f"error/{rank}"]):
                error = restore_error(json.loads(self.store.get(f"error/{rank}")))
                error.add_note(f"It happened on rank {rank} of {self.size}.")
                return error
        return None

    def _meet(self) -> None:
        """Wait until all ranks have their data and network: a rank that fails earlier never joins a group."""
        self.store.set(f"ready/{self.job}/{self.rank}", "")
        keys = [f"ready/{self.job}/{rank}" for rank in range(self.size)]
        if self.rank:
            self.store.wait(keys, _PATIENCE)
            return
        while not self.store.check(keys):
            if self._reported() or self.ending():
                raise RankLost
            time.sleep(_POLL)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Form a process group for one job within this context.

        Raises:
            RankLost: One of the other ranks cannot join.
        """
        self._meet()
        store = distributed.PrefixStore(f"group/{self.job}", self.store)
        backend = "nccl" if device.type == "cuda" else "gloo"
        bounded = backend == "gloo" and hasattr(distributed, "set_timeout")
        distributed.init_process_group(
            backend,
            store=store,
            rank=self.rank,
            world_size=self.size,
            timeout=_CONNECTING if bounded else None,
        )
        if bounded:
            distributed.set_timeout(distributed.default_pg_timeout)
        try:
            yield
        finally:
            # From here on rank 0 works alone; torchmetrics, for example, must not synchronize with the other ranks.
            distributed.destroy_process_group()
            self.job += 1


class Place(LightningEnvironment):
    """Lightning's cluster environment for an existing world, so that Lightning starts no processes itself."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    @property
    def creates_processes_externally(self) -> bool:
        """Always True: the processes exist already."""
        return True

    def world_size(self) -> int:
        """Return the number of processes."""
        return self._world.size

    def set_world_size(self, size: int) -> None:
        """Do nothing: the size is known."""

    def global_rank(self) -> int:
        """Return this process's global rank."""
        return self._world.rank

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: the rank is known."""

    def local_rank(self) -> int:
        """Return this process's rank on its machine."""
        return self._world.local_rank

    def node_rank(self) -> int:
        """Return the rank of this process's machine."""
        return self._world.node

    def teardown(self) -> None:
        """Do nothing: the launcher's environment variables are needed for the next job."""


@cache
def launched() -> World | None:
    """Return this process's world if a launcher or rank 0 has started it; otherwise None."""
    if not is_launched():
        return None
    environment = SLURMEnvironment() if is_slurm() else TorchElasticEnvironment()
    rank, size = environment.global_rank(), environment.world_size()
    # torchrun's agent may serve the store on that port; otherwise rank 0 does.
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


# Each error of gloo begins with a place in gloo's source. The type, RuntimeError, does not identify it: models raise
# it too.
_GLOO = re.compile(r"\[\S*gloo/\S+\.(cc|h):\d+\] ")


def is_lost(error: Exception) -> bool:
    """Return whether an error only says that another rank is gone."""
    if isinstance(error, RankLost | distributed.DistError):  # errors of NCCL, the store and the network
        return True
    return type(error) is RuntimeError and _GLOO.match(str(error)) is not None

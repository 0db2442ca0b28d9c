"""The processes of one training, and how they find each other."""

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
from torch import Tensor, distributed

from dlcli.distributed.launcher import is_launched, is_slurm
from dlcli.errors import DlcliError, describe_error, restore_error

# Rank 0 may read and plan for long before it has a job for the others.
_PATIENCE = timedelta(days=7)

# Seconds for ranks to say what became of them once one of them has failed.
_LAST_WORDS = 10.0
_POLL = 0.02


class RankLost(Exception):
    """A rank is gone before its part of a training began."""


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
        ending: how one of the others has ended, where this process can see that.
    """

    rank: int
    local_rank: int
    node: int
    size: int
    store: Any
    job: int = field(default=0)
    ending: Callable[[], DlcliError | None] = field(default=lambda: None)

    def hand_out(self, job: str) -> None:
        """Give the other ranks a job; an empty one is the last."""
        self.store.set(f"job/{self.job}", job)

    def take(self) -> str:
        """Wait for rank 0's next job."""
        key = f"job/{self.job}"
        self.store.wait([key], _PATIENCE)
        return self.store.get(key).decode()

    def fail(self, error: Exception) -> None:
        """Tell rank 0 why this one ends; not where it only noticed that another one has."""
        if not is_lost(error):
            self.store.set(f"error/{self.rank}", json.dumps(describe_error(error)))

    def reason(self, error: Exception) -> DlcliError | None:
        """Why a training failed, where `error` says only that another rank is gone, which knows more itself."""
        if not is_lost(error):
            return None
        end = time.monotonic() + _LAST_WORDS
        while True:
            ended = self.ending()
            reason = self._told() or ended  # told before it ended
            if reason or time.monotonic() > end:
                return reason
            time.sleep(_POLL)

    def _told(self) -> DlcliError | None:
        for rank in range(1, self.size):
            if self.store.check([f"error/{rank}"]):
                error = restore_error(json.loads(self.store.get(f"error/{rank}")))
                error.add_note(f"It happened on rank {rank} of {self.size}.")
                return error
        return None

    def _meet(self) -> None:
        """Wait until all ranks have their rows and their network: one that fails before never joins a group."""
        self.store.set(f"ready/{self.job}/{self.rank}", "")
        all_of_them = [f"ready/{self.job}/{rank}" for rank in range(self.size)]
        if self.rank:
            self.store.wait(all_of_them, _PATIENCE)
            return
        while not self.store.check(all_of_them):
            if self._told() or self.ending():
                raise RankLost
            time.sleep(_POLL)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Be a process group for one job.

        Raises:
            RankLost: one of the others cannot join.
        """
        self._meet()
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


# How each error of gloo's begins: the place in its own source. They are RuntimeErrors, as are those of any model.
_GLOO = re.compile(r"\[\S*gloo/\S+\.(cc|h):\d+\] ")


def is_lost(error: Exception) -> bool:
    """Whether it says no more than that another rank is gone."""
    if isinstance(error, RankLost | distributed.DistError):  # NCCL's, the store's, the network's
        return True
    return type(error) is RuntimeError and _GLOO.match(str(error)) is not None


def is_group() -> bool:
    """Whether this process is one of several that train together right now."""
    return distributed.is_available() and distributed.is_initialized()


def exchanged(said: bytes, device: torch.device) -> list[bytes]:
    """What each rank of a group says, in their order."""
    lengths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(lengths, torch.tensor([len(said)], device=device))
    longest = max(int(length) for length in lengths)
    mine = torch.frombuffer(bytearray(said.ljust(longest, b"\0")), dtype=torch.uint8).to(device)
    texts = [torch.empty_like(mine) for _ in lengths]
    distributed.all_gather(texts, mine)
    pairs = zip(texts, lengths, strict=True)
    return [text[: int(length)].cpu().numpy().tobytes() for text, length in pairs]


def summed(values: Tensor) -> Tensor:
    """The sum over all ranks; of a process that is alone, its own."""
    if is_group():
        distributed.all_reduce(values)
    return values

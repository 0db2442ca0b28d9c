"""Ranks on this machine that rank 0 starts itself: processes that it watches, and that end with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, NamedTuple

from torch import distributed

from dlcli.distributed.world import World
from dlcli.errors import DlcliError, TrainingError, restore_error

PARENT = "DLCLI_PARENT"

# Seconds for ranks to say what became of them once one of them has failed, and to end once all is done.
_LAST_WORDS = 10.0
_POLL = 0.05

# Of what a rank printed: enough to hold its last line.
_TAIL = 4096

# All of them are on this machine, whatever its name resolves to.
_LOCAL = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


class _Recruit(NamedTuple):
    """A rank, and what it has printed."""

    rank: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def last_line(self) -> str:
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - _TAIL))
        lines = self.said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def recruited(size: int, threads: int) -> Iterator[World]:
    """The world of rank 0, which this process is, with `size - 1` further ones on this machine.

    Raises:
        TrainingError: a rank has ended before its time; the reason is its own where it could tell.
    """
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    world = World(0, 0, 0, size, distributed.PrefixStore("dlcli/0", store))
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(size)}
    with _environment(_LOCAL), contextlib.ExitStack() as stack:
        recruits = [
            stack.enter_context(_recruit(rank, {**address, "OMP_NUM_THREADS": str(threads)}))
            for rank in range(1, size)
        ]
        try:
            _await(recruits, world)
            yield world
            world.hand_out("")
            for recruit in recruits:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    recruit.process.wait(_LAST_WORDS)
        except Exception as error:
            if reason := _reason(recruits, world, error):
                raise reason from error
            raise


@contextlib.contextmanager
def _recruit(rank: int, environment: dict[str, str]) -> Iterator[_Recruit]:
    """A rank that is gone afterwards, whatever happens."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlcli.job"],
            env={
                **os.environ,
                **environment,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                PARENT: str(os.getpid()),
            },
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            # Ctrl-C is for rank 0, which ends the others.
            start_new_session=True,
        )
        try:
            yield _Recruit(rank, process, said)
        finally:
            process.kill()
            process.wait()


def _await(recruits: list[_Recruit], world: World) -> None:
    """Until all have come; one that cannot come will never be waited for."""
    while not world.store.check([f"here/{recruit.rank}" for recruit in recruits]):
        if any(recruit.has_ended for recruit in recruits):
            raise RuntimeError("a rank did not come")
        time.sleep(_POLL)


def _reason(recruits: list[_Recruit], world: World, error: Exception) -> DlcliError | None:
    """Why the training failed, where `error` says only that a connection is gone: the rank itself knows more."""
    if not is_lost(error):
        return None
    end = time.monotonic() + _LAST_WORDS
    while time.monotonic() < end and not any(recruit.has_ended for recruit in recruits):
        time.sleep(_POLL)
    for rank in range(1, world.size):
        if world.store.check([f"error/{rank}"]):
            told = restore_error(json.loads(world.store.get(f"error/{rank}")))
            told.add_note(f"It happened on rank {rank} of {world.size}.")
            return told
    for recruit in recruits:
        if code := recruit.process.poll():
            return _ending(f"rank {recruit.rank} of {world.size}", code, recruit.last_line)
    return None


def _ending(who: str, code: int, last_line: str) -> TrainingError:
    if code == -signal.SIGKILL:
        hint = "The system kills processes when memory runs out: fewer devices, or smaller batches."
        return TrainingError(f"{who} ended with SIGKILL", "trainer.devices", hint)
    ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    said = f": {last_line}" if last_line else ""
    return TrainingError(f"{who} ended with {ending}{said}", "trainer.devices")


def is_lost(error: Exception) -> bool:
    """Whether it says no more than that another rank is gone."""
    if isinstance(error, DlcliError):
        return False
    text = str(error)
    return any(word in text for word in ("Connection", "a rank did not come", "recv", "gloo", "NCCL"))


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)

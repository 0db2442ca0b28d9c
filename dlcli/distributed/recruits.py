"""Ranks on this machine that rank 0 starts itself: processes that it watches, and that end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

import psutil
from torch import distributed

from dlcli.config.timespan import in_words
from dlcli.distributed.world import World
from dlcli.errors import TrainingError

PARENT = "DLCLI_PARENT"

# Of what a rank printed: enough to hold its last line.
_TAIL = 4096

# Seconds between two looks whether one is stopped.
_LOOK = 1.0

# All of them are on this machine, whatever its name resolves to.
_LOCAL = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}

# Ranks that wait for a next training, by how many processes and threads, and how they are watched; each with what ends
# them. None: nobody waits.
_waiting: dict[tuple[int, int, float | None], tuple[contextlib.ExitStack, World]] | None = None


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Within it ranks that have trained wait for the next fold or trial: to start them takes seconds."""
    global _waiting
    if _waiting is not None:
        yield
        return
    _waiting = {}
    try:
        yield
    finally:
        left, _waiting = _waiting, None
        for stack, _ in left.values():
            stack.close()


@contextlib.contextmanager
def recruited(size: int, threads: int, silence: float | None = None) -> Iterator[World]:
    """The world of rank 0, which this process is, with `size - 1` further ones on this machine.

    One that is stopped for `silence` seconds is ended: the others would wait for it.
    """
    kind = size, threads, silence
    waiting = _waiting.pop(kind, None) if _waiting else None
    stack, world = waiting or _recruit(size, threads, silence)
    with stack, _environment(_LOCAL):
        yield world
        if _waiting is not None:
            _waiting[kind] = stack.pop_all(), world


@dataclass
class _Recruit:
    """A rank, what it has printed, and for how long it was stopped where it was ended for that."""

    name: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    stopped: float | None = None

    def ending(self) -> TrainingError | None:
        """How it ended."""
        code = self.process.poll()
        if code is None:
            return None
        if self.stopped is not None:
            told = f"{self.name} was stopped (SIGSTOP) for {in_words(self.stopped)}, and was ended"
            return TrainingError(told, "executor.silence")
        if code == -signal.SIGKILL:
            hint = "The system kills processes when memory runs out: fewer devices, or smaller batches."
            return TrainingError(f"{self.name} ended with SIGKILL", "trainer.devices", hint)
        ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return TrainingError(": ".join(filter(None, [f"{self.name} ended with {ending}", self._last_line()])))

    def _last_line(self) -> str:
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - _TAIL))
        lines = self.said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _recruit(size: int, threads: int, silence: float | None) -> tuple[contextlib.ExitStack, World]:
    """All further ranks, and what ends them."""
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(size)}
    with contextlib.ExitStack() as stack:
        recruits = [
            stack.enter_context(
                _started(rank, size, {**_LOCAL, **os.environ, **address, "OMP_NUM_THREADS": str(threads)})
            )
            for rank in range(1, size)
        ]
        if silence is not None:
            stack.enter_context(_watched(recruits, silence))
        ours = distributed.PrefixStore("dlcli/0", store)
        return stack.pop_all(), World(0, 0, 0, size, ours, ending=partial(_ending, recruits))


@contextlib.contextmanager
def _started(rank: int, size: int, environment: dict[str, str]) -> Iterator[_Recruit]:
    """A rank that is gone afterwards: it keeps nothing that would be lost."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlcli.job"],
            env={
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
            yield _Recruit(f"rank {rank} of {size}", process, said)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _watched(recruits: list[_Recruit], silence: float) -> Iterator[None]:
    """Within it a thread looks for ranks that are stopped."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(recruits, silence, over), name="dlcli-ranks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(recruits: list[_Recruit], silence: float, over: threading.Event) -> None:
    since: dict[str, float] = {}
    while not over.wait(_LOOK):
        for recruit in recruits:
            if not _is_stopped(recruit.process.pid):
                since.pop(recruit.name, None)
            elif time.monotonic() - since.setdefault(recruit.name, time.monotonic()) >= silence:
                recruit.stopped = silence
                recruit.process.kill()


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def _ending(recruits: list[_Recruit]) -> TrainingError | None:
    return next(filter(None, (recruit.ending() for recruit in recruits)), None)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)

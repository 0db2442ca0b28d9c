"""The ranks that rank 0 starts on this machine and supervises; they end with it."""

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

# Bytes from the end of a rank's output, enough to contain its last line.
_TAIL = 4096

# Seconds between checks for stopped ranks.
_LOOK = 1.0

# All ranks are on this machine: use the loopback interface, whatever the host's name resolves to.
_LOCAL = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}

# Idle ranks that are kept for the next training run, by number of processes, number of threads and limit on
# inactivity, each with the exit stack that ends them. None if ranks are not kept.
_waiting: dict[tuple[int, int, float | None], tuple[contextlib.ExitStack, World]] | None = None


@contextlib.contextmanager
def keep_ranks() -> Iterator[None]:
    """Keep ranks between the training runs (folds, trials) within this context, since starting them takes seconds."""
    global _waiting
    if _waiting is not None:
        yield
        return
    _waiting = {}
    try:
        yield
    finally:
        idle, _waiting = _waiting, None
        for stack, _ in idle.values():
            stack.close()


@contextlib.contextmanager
def started_ranks(size: int, threads: int, silence: float | None = None) -> Iterator[World]:
    """Start `size - 1` further ranks on this machine, and yield the world of rank 0, which is this process.

    Args:
        size: number of ranks.
        threads: number of threads of each rank.
        silence: seconds after which a stopped rank is killed, since the others would wait for it; None for no limit.
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
    """A rank that this process has started.

    Attributes:
        name: such as `rank 1 of 2`.
        process: its process.
        output: file with its stdout and stderr.
        stopped: seconds for which it was stopped, if it was killed for that.
    """

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    stopped: float | None = None

    def ending(self) -> TrainingError | None:
        """Return the error that describes how it ended; None while it is alive."""
        code = self.process.poll()
        if code is None:
            return None
        if self.stopped is not None:
            message = f"{self.name} was stopped (SIGSTOP) for {in_words(self.stopped)} and was killed"
            return TrainingError(message, "executor.silence")
        if code == -signal.SIGKILL:
            hint = "The system kills processes when memory runs out: use fewer devices, or smaller batches."
            return TrainingError(f"{self.name} ended with SIGKILL", "trainer.devices", hint)
        ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return TrainingError(": ".join(filter(None, [f"{self.name} ended with {ending}", self._last_line()])))

    def _last_line(self) -> str:
        self.output.seek(max(0, self.output.seek(0, os.SEEK_END) - _TAIL))
        lines = self.output.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _recruit(size: int, threads: int, silence: float | None) -> tuple[contextlib.ExitStack, World]:
    """Start the further ranks, and return the stack that ends them with the world of rank 0."""
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
    """Start a rank; on exit, kill it, since it has no state that needs to be saved."""
    with tempfile.TemporaryFile() as output:
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
            stdout=output,
            stderr=output,
            # Ctrl-C must reach rank 0 only, which ends the others.
            start_new_session=True,
        )
        try:
            yield _Recruit(f"rank {rank} of {size}", process, output)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _watched(recruits: list[_Recruit], silence: float) -> Iterator[None]:
    """Watch for stopped ranks in a thread within this context."""
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

"""Measure the activity of another process, without its cooperation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil

# CPU time counts as activity if it is more than this share of the elapsed time, and more than this number of seconds.
# Threads of a waiting process that poll a clock use less.
_SHARE, _LEAST = 0.01, 0.2

# Seconds after a message in which the CPU time is not read: psutil reads all processes of the machine to find the
# children of one, and a process that trains a small network sends hundreds of messages per second.
_PATIENCE = 0.4


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants in seconds; 0 if it is gone."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, and so has released its locks."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def state_of(pid: int) -> str:
    """Return a description of the state of an inactive process."""
    with contextlib.suppress(psutil.Error):
        status = psutil.Process(pid).status()
        if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return "it is stopped (SIGSTOP)"
        if status == psutil.STATUS_DISK_SLEEP:
            return "it is waiting for a disk"
    return "it uses no CPU time"


class Vitals:
    """Measures how long a process has been inactive: no message, and hardly any CPU time.

    A process that is stopped, deadlocked or asleep is inactive. One in a long call of C code is active, whether or not
    it holds the GIL; so is one in an endless loop, which only a limit on time ends.

    Args:
        pid: process ID.
        clock: returns the time in seconds.
        used: returns the CPU time that a process has used, in seconds.
    """

    def __init__(
        self,
        pid: int,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[int], float] = cpu_seconds,
    ) -> None:
        self.pid = pid
        self._clock = clock
        self._used = used
        self.note_activity()

    def note_activity(self) -> None:
        """Register a message, which counts as activity."""
        self._since: float = self._clock()
        self._then: float | None = None

    def silence(self) -> float:
        """Return the seconds since the last activity."""
        now = self._clock()
        quiet = now - self._since
        if quiet < _PATIENCE:
            return quiet
        used = self._used(self.pid)
        if self._then is None:
            self._then = used
        # The sum decreases when a child process ends, which counts as activity too.
        elif abs(used - self._then) > max(_LEAST, _SHARE * quiet):
            self._since, self._then = now, used
            return 0.0
        return quiet

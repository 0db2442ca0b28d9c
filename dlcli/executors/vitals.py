"""Whether a process still does anything, seen from outside: it need not help, nor be able to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil

# Of a process that only waits, threads that look at a clock now and then take less.
_SHARE, _LEAST = 0.01, 0.2


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those that it has started, which may do its work; 0 where it is gone."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def is_gone(pid: int) -> bool:
    """Whether a process has ended, and holds no lock any more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def state_of(pid: int) -> str:
    """What a silent process is doing, in words."""
    with contextlib.suppress(psutil.Error):
        status = psutil.Process(pid).status()
        if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return "it is stopped (SIGSTOP)"
        if status == psutil.STATUS_DISK_SLEEP:
            return "it waits for a disk"
    return "it takes no CPU time"


class Vitals:
    """For how long a process has given no sign of life: no message, and hardly any CPU time.

    A process that is stopped, waits for a lock for ever or sleeps gives none. One in a long call of C code does, with
    or without the interpreter's lock; so does one in an endless loop, which only a limit on its time ends.

    Args:
        pid: the process.
        clock: seconds.
        used: CPU seconds of a process so far.
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
        self.heard()

    def heard(self) -> None:
        """It has said something."""
        self._since, self._then = self._clock(), self._used(self.pid)

    def silence(self) -> float:
        """Seconds without a sign of life."""
        now, used = self._clock(), self._used(self.pid)
        quiet = now - self._since
        # Less than before: a process that it had started has ended.
        if abs(used - self._then) > max(_LEAST, _SHARE * quiet):
            self._since, self._then = now, used
            return 0.0
        return quiet

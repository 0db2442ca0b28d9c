"""Waiting for a lock that another process holds: for as long as that process works, and not where it is stopped."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.errors import StoreError
from dlcli.files.paths import display

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCKS = Path("/proc/locks")
_PAUSE, _LOOK = 0.05, 2.0  # seconds between two tries, and between two looks at who holds it


def holder_of(path: Path) -> int | None:
    """The process that has a file locked; None where there is none, or the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        about = path.stat()
        file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
        for line in _LOCKS.read_text().splitlines():
            words = line.split()
            if "->" not in words and file in words and int(words[4]) not in (0, os.getpid()):
                return int(words[4])
    return None


def taken(lock: BaseFileLock) -> bool:
    """Whether the lock is this process's now: one try."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def flocked(fd: int, how: int) -> bool:
    """Whether an open file is locked now: one try."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(try_it: Callable[[], bool], path: Path, patience: float, what: str) -> None:
    """Try until a file is locked.

    Args:
        try_it: whether it is by now.
        path: the file.
        patience: seconds that another process may hold it; infinite where it works for long.
        what: the locked thing, for the message: "the store".

    Raises:
        StoreError: patience is at its end, or who holds it is stopped.
    """
    begun = looked = time.monotonic()
    while not try_it():
        now = time.monotonic()
        if now - looked >= _LOOK:
            looked = now
            _refuse_stopped(path, what)
        if now - begun >= patience:
            who = holder_of(path)
            hint = f"Wait for it, or end it: kill {who}" if who else f"See who holds {display(path)}."
            raise StoreError(f"{_named(who)} has {what} locked", str(path), hint)
        time.sleep(_PAUSE)


def _refuse_stopped(path: Path, what: str) -> None:
    import psutil

    who = holder_of(path)
    with contextlib.suppress(psutil.Error):
        if who is not None and psutil.Process(who).status() == psutil.STATUS_STOPPED:
            hint = f"Have it go on: kill -CONT {who}. Or end it: kill -9 {who}"
            raise StoreError(f"process {who}, which is stopped, has {what} locked", str(path), hint)


def _named(who: int | None) -> str:
    return f"process {who}" if who else "another process"

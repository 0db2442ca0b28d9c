"""Wait for a lock that another process holds, unless that process is stopped."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from dlcli.errors import StoreError
from dlcli.files.paths import display

if TYPE_CHECKING:
    from filelock import BaseFileLock

_log = logging.getLogger(__name__)

_LOCKS = Path("/proc/locks")
_PAUSE, _LOOK = 0.05, 2.0  # seconds between attempts, and between checks of the process that holds the lock


def holder_of(path: Path) -> int | None:
    """Return the ID of the process that holds the lock of a file; None if there is none, or it is unknown."""
    with contextlib.suppress(OSError, ValueError):
        about = path.stat()
        file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
        for line in _LOCKS.read_text().splitlines():
            words = line.split()
            if "->" not in words and file in words and int(words[4]) not in (0, os.getpid()):
                return int(words[4])
    return None


def try_acquire(lock: BaseFileLock) -> bool:
    """Try once to acquire a lock, and return whether that succeeded."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def try_flock(fd: int, how: int) -> bool:
    """Try once to lock an open file, and return whether that succeeded."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(try_it: Callable[[], bool], path: Path, patience: float, what: str) -> None:
    """Wait until a file is locked by this process.

    Args:
        try_it: tries once to lock the file, and returns whether that succeeded.
        path: path of the file.
        patience: seconds to wait for another process; infinite if it may hold the lock for long.
        what: name of the locked object for messages, such as "the store".

    Raises:
        StoreError: The lock was not released in time, or the process that holds it is stopped.
    """
    begun = checked = time.monotonic()
    is_told = False
    while not try_it():
        now = time.monotonic()
        if now - checked >= _LOOK:
            checked = now
            _refuse_stopped(path, what)
            if not is_told:
                _log.warning("Waiting for %s, which has locked %s.", _named(holder_of(path)), what)
                is_told = True
        if now - begun >= patience:
            holder = holder_of(path)
            hint = (
                f"Wait for it, or end it: kill {holder}"
                if holder
                else f"Find the process that has {display(path)} open."
            )
            raise StoreError(f"{_named(holder)} has locked {what}", str(path), hint)
        time.sleep(_PAUSE)


def _refuse_stopped(path: Path, what: str) -> None:
    holder = holder_of(path)
    with contextlib.suppress(psutil.Error):
        if holder is not None and psutil.Process(holder).status() == psutil.STATUS_STOPPED:
            hint = f"Continue it: kill -CONT {holder}. Or end it: kill -9 {holder}"
            raise StoreError(f"process {holder}, which is stopped, has locked {what}", str(path), hint)


def _named(holder: int | None) -> str:
    return f"process {holder}" if holder else "another process"

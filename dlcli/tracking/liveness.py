"""Liveness of runs: an entry, locked by its processes, for each run that is unfinished or incomplete in MLflow.

The entry `RUNS_DIR/.active/TOKEN` is written before the MLflow run is created, so that a kill at any moment leaves an
entry. The processes that work on the run (its driver, the process that records it) hold a shared lock, which the kernel
releases when they end. A process that obtains the exclusive lock therefore knows that there is no other process. The
cost of checking grows with the number of entries, not of runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import weakref
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.errors import InputError
from dlcli.files.disk import write_errors
from dlcli.files.regular import check_regular, read_regular
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.locks import try_flock, wait_for_lock

ACTIVE_DIR = ".active"

# Seconds to wait for another command that updates a run's record on a slow server.
_PATIENCE = 600.0

_MAX_BYTES = 1 << 20  # maximum size of an entry, which has a few lines

# Forked children inherit open files with their locks: without this, a data-loading worker that outlives a killed run
# would keep the run alive. (Programs started by exec inherit none, because Python opens files with O_CLOEXEC.)
_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _release_all() -> None:
    for entry in list(_held):
        entry.release()


os.register_at_fork(after_in_child=_release_all)


class RunLock:
    """One run's entry, locked by this process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        _held.add(self)

    @classmethod
    def hold(cls, runs_dir: Path, token: str, info: Mapping[str, Any]) -> RunLock:
        """Acquire the shared lock of a run's entry, which is created if it does not exist."""
        folder = runs_dir / ACTIVE_DIR
        if folder.is_symlink():  # otherwise files would be written and removed elsewhere
            raise InputError("is a link, but should be a folder", str(folder), "Remove the link.")
        path = folder / token
        with write_errors(folder):
            folder.mkdir(exist_ok=True)
            while True:
                with contextlib.suppress(FileNotFoundError):
                    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
                    # Another command may be updating the record.
                    wait_for_lock(partial(try_flock, fd, fcntl.LOCK_SH), path, _PATIENCE, "the run's record")
                    if _is_still_at(path, fd):
                        return cls(path, fd)
                    os.close(fd)
                    continue
                # The entry is created and locked under another name first, so that no process sees it unlocked.
                fresh = folder / f".{token}.{os.getpid()}"
                fd = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
                try:
                    fcntl.flock(fd, fcntl.LOCK_SH)
                    os.write(fd, _line({"token": token, **info}))
                    fresh.rename(path)
                    return cls(path, fd)
                except FileNotFoundError:  # another process removed it as abandoned before it was locked
                    os.close(fd)
                except OSError:
                    os.close(fd)
                    fresh.unlink(missing_ok=True)
                    raise

    @classmethod
    def of(cls, ledger: Ledger) -> RunLock:
        """Lock the entry of a run that has a ledger, as in `hold`."""
        about = {"run_id": ledger.run_id, "parent_id": ledger.parent_id}
        about |= {"tracking_uri": ledger.tracking_uri, "experiment": ledger.experiment}
        return cls.hold(ledger.runs_dir, ledger.token, about)

    @classmethod
    def take_over(cls, path: Path) -> RunLock | None:
        """Acquire the exclusive lock of an entry; None if another process holds it, or it does not exist."""
        try:
            check_regular(path)
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        if not _is_still_at(path, fd):
            os.close(fd)
            return None
        return cls(path, fd)

    def add(self, info: Mapping[str, Any]) -> None:
        """Add information about the run."""
        with write_errors(self.path.parent):
            os.write(self._fd, _line({**read_entry(self.path), **info}))

    def release(self) -> None:
        """Release the lock; the entry is kept."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        _held.discard(self)

    def remove(self) -> None:
        """Delete the entry of a run that has ended and is completely in MLflow."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.release()


def is_held(path: Path) -> bool:
    """Return whether a process works on the run of an entry. Writes nothing, so it works for read-only folders."""
    try:
        check_regular(path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def read_entry(path: Path) -> dict[str, Any]:
    """Return the content of an entry, which is its last complete line; empty if there is none."""
    try:
        lines = read_regular(path, _MAX_BYTES).split(b"\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(line)
            if isinstance(document, dict):
                return document
    return {}


def entries(runs_dir: Path) -> list[Path]:
    """Return all entries, after removing abandoned incomplete ones; none if their folder is a link."""
    folder = runs_dir / ACTIVE_DIR
    try:
        found = [] if folder.is_symlink() else sorted(folder.iterdir())
    except OSError:
        return []
    for incomplete in (path for path in found if path.name.startswith(".")):
        if entry := RunLock.take_over(incomplete):
            entry.remove()
    return [path for path in found if not path.name.startswith(".")]


def _line(info: Mapping[str, Any]) -> bytes:
    return json.dumps(info).encode() + b"\n"


def _is_still_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        return False

"""Temporary files and folders next to their targets, and removal of those that killed processes have left.

The name is `.TARGET.dlcli-TOKEN.tmp`. The process that creates it holds a lock on it, which the kernel releases when
the process ends: a temporary file that can be locked is abandoned. The next write in its folder removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\..+\.dlcli-[0-9a-f]{8}\.tmp", re.DOTALL)

# Bytes of a target's name that are used unshortened, so that the temporary name is valid on every file system.
_LONGEST = 60


@contextlib.contextmanager
def unfinished(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield a new file or folder next to `target`, to be written and then moved there (`Path.replace`).

    Abandoned temporary files in its folder are removed first. On exit, the new one is removed unless it was moved.
    """
    with _locked_unfinished(target, folder) as (place, _):
        yield place


def replace_atomically(target: Path, content: bytes, *, durable: bool) -> None:
    """Replace a file by a new one with this content; `durable` also synchronises it with the disk.

    Raises:
        OSError: The operating system refuses; the old file is kept.
    """
    with _locked_unfinished(target) as (place, descriptor):
        view = memoryview(content)
        while view:  # on a full disk, the first write is partial and the second one raises
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
        os.close(os.dup(descriptor))  # a network file system reports a full disk only now
        place.replace(target)


@contextlib.contextmanager
def _locked_unfinished(target: Path, folder: bool = False) -> Iterator[tuple[Path, int]]:
    """Yield a new file or folder next to `target`, and the descriptor that holds its lock and writes the file."""
    remove_abandoned(target.parent)
    place, lock = _made(target, folder)
    try:
        yield place, lock
    finally:
        if _is_still_at(place, lock):
            _remove(place)
        os.close(lock)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder among the system's temporary files, which only this user can read; it is removed on exit."""
    with unfinished(Path(tempfile.gettempdir()) / "scratch", folder=True) as place:
        place.chmod(0o700)
        yield place


def remove_abandoned(folder: Path) -> None:
    """Remove the abandoned temporary files in a folder."""
    for place in _temporary(folder):
        with contextlib.suppress(OSError), _locked(place):
            _remove(place)


def list_abandoned(folder: Path) -> list[Path]:
    """Return the abandoned temporary files and folders in a folder."""
    found = []
    for place in _temporary(folder):
        with contextlib.suppress(OSError), _locked(place):
            found.append(place)
    return found


def temporary_name(target: str) -> str:
    """Return a new name for a temporary file or folder of a target."""
    return f".{_short(target)}.dlcli-{secrets.token_hex(4)}.tmp"


def _temporary(folder: Path) -> Iterator[Path]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 called for each write to the record
    except OSError:
        return
    for name in names:
        if name.endswith(".tmp") and _NAME.fullmatch(name):
            yield folder / name


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the lock of a temporary file; raises OSError if another process holds it."""
    lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def _made(target: Path, folder: bool) -> tuple[Path, int]:
    """Create a temporary file or folder, and return it with the descriptor that holds its lock."""
    while True:
        place = target.with_name(temporary_name(target.name))
        if folder:
            place.mkdir()
            try:
                lock = os.open(place, os.O_RDONLY)
            except FileNotFoundError:  # another process removed it before it was locked
                continue
        else:
            lock = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        # On a file system without locks, `remove_abandoned` removes nothing either.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_still_at(place, lock):
            return place, lock
        os.close(lock)


def _short(name: str) -> str:
    """Return the name; if it is too long to be part of another name, its beginning and a digest."""
    if len(name.encode()) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 4]}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"


def _is_still_at(place: Path, lock: int) -> bool:
    try:
        return os.path.samestat(place.stat(), os.fstat(lock))
    except OSError:
        return False


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)

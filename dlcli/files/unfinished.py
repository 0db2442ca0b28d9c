"""Files and folders that are still being made, beside their targets; what a kill leaves of them is swept away.

A name is `.TARGET.TOKEN.tmp`. Whoever makes it holds a lock on it, which the kernel drops with the process: what can be
locked is nobody's any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)

# Characters of a target's name: with all that surrounds them they make a name that a file system takes.
_LONGEST = 60


@contextlib.contextmanager
def unfinished(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """A new file or folder beside `target`, to be filled and put in its place (`Path.replace`).

    What earlier processes that are gone have left of this target is removed before; and at the end what this one has
    not put in its place.
    """
    sweep(target.parent, target.name)
    place, lock = _made(target, folder)
    try:
        yield place
    finally:
        if _is_still_at(place, lock):
            _remove(place)
        os.close(lock)


def sweep(folder: Path, target: str | None = None) -> None:
    """Remove what processes that are gone have left unfinished of a target, or of any in the folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 called for each write to the record
    except OSError:
        return
    for name in names:
        found = name.endswith(".tmp") and _NAME.fullmatch(name)
        if not found or (target is not None and found["target"] != _short(target)):
            continue
        place = folder / name
        with contextlib.suppress(OSError):
            lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(place)
            finally:
                os.close(lock)


def _made(target: Path, folder: bool) -> tuple[Path, int]:
    """A new place, and the descriptor whose lock tells that it has an owner."""
    while True:
        place = target.with_name(f".{_short(target.name)}.{secrets.token_hex(4)}.tmp")
        place.mkdir() if folder else place.touch(exist_ok=False)
        with contextlib.suppress(FileNotFoundError):  # swept away between the two
            lock = os.open(place, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks sweeps nothing either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_still_at(place, lock):
                return place, lock
            os.close(lock)


def _short(name: str) -> str:
    """The name, or its beginning and a digest where it is too long to be a part of another."""
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

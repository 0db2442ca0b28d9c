"""Features on disk: one vector a row, filled in as rows are asked for, read by memory map, shared by processes."""

from __future__ import annotations

import io
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from dlcli.tracking.ledger import atomic_write
from dlcli.tracking.locks import try_acquire, wait_for_lock

# Bytes that all stores in a folder may take; beyond that the one that was used longest ago goes.
_MOST = 20e9

# Rows of a block, at least, and how many blocks a store has at most: each has a lock, which is a file.
_BLOCK, _BLOCKS = 256, 64

# What was computed is put on the disk for good so often: a kill, or a power cut, loses no more.
_SECONDS = 1.0

_FEATURES, _KNOWN, _LOCK = "features.npy", "known", "store.lock"

# Rows in any order, and their vectors `(n, width)`.
Computed = Iterable[tuple[np.ndarray, np.ndarray]]


class FeatureStore:
    """Vectors `(rows, width)` of which some are known.

    Several processes fill it together. Each works on one block of rows after another that nobody else is at, then waits
    for those blocks that others are at, and does itself what one of them left behind when it was killed.

    The vectors are written, not mapped, until all of them are there: a full disk is then an error, and no fault in
    memory that ends the process.
    """

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        self.folder = folder
        self._rows = rows
        self._width = width
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        )
        self._header = header.getvalue()

    def missing(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that are not known."""
        if not self._is_whole():
            return rows
        return rows[~np.fromfile(self.folder / _KNOWN, bool)[rows]]

    def fill(
        self,
        rows: np.ndarray,
        compute: Callable[[np.ndarray], Computed],
        advanced: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Have `compute` give the vectors of those rows that are not known, some at a time.

        `advanced` hears of it whenever so many more of them are known, by this process or by another.
        """
        self._open()
        missing = np.sort(self.missing(rows))
        if len(missing):
            _make_room(self.folder)
        size = max(_BLOCK, -(-self._rows // _BLOCKS))
        left = dict.fromkeys((missing // size).tolist())
        for waits in (False, True):  # first what nobody is at, then what others are at
            for block in list(left):
                lock = FileLock(self.folder / f"{block:02d}.lock")
                if waits:
                    path = Path(lock.lock_file)
                    wait_for_lock(partial(try_acquire, lock), path, math.inf, "features that both need")
                elif not try_acquire(lock):
                    continue
                try:
                    self._fill(missing[missing // size == block], compute, advanced)
                finally:
                    lock.release()
                del left[block]

    def mapped(self) -> np.ndarray:
        """All vectors where they lie; only those of rows that are known mean something."""
        return np.load(self.folder / _FEATURES, mmap_mode="c")

    def _fill(
        self, rows: np.ndarray, compute: Callable[[np.ndarray], Computed], advanced: Callable[[int], None]
    ) -> None:
        missing = self.missing(rows)
        if len(missing) < len(rows):
            advanced(len(rows) - len(missing))
        if not len(missing):
            return
        with (self.folder / _FEATURES).open("r+b") as features, (self.folder / _KNOWN).open("r+b") as known:
            done: list[int] = []

            def mark() -> None:
                # In this order: what counts as known has to be there, even after a power cut.
                features.flush()
                os.fsync(features.fileno())
                for row in done:
                    known.seek(row)
                    known.write(b"\1")
                known.flush()
                done.clear()

            marked = time.monotonic()
            try:
                for some, vectors in compute(missing):
                    for row, vector in zip(some.tolist(), vectors, strict=True):
                        features.seek(len(self._header) + 4 * self._width * row)
                        features.write(vector.tobytes())
                    done += some.tolist()
                    if time.monotonic() - marked > _SECONDS:
                        mark()
                        marked = time.monotonic()
                    advanced(len(some))
            finally:
                mark()

    def _open(self) -> None:
        """Make the files; they take no room on the disk until they are filled."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / _LOCK):
            if not self._is_whole():
                (self.folder / _KNOWN).unlink(missing_ok=True)
                with (self.folder / _FEATURES).open("wb") as file:
                    file.write(self._header)
                    file.truncate(self._bytes)
                atomic_write(self.folder / _KNOWN, bytes(self._rows))
            (self.folder / _KNOWN).touch()

    @property
    def _bytes(self) -> int:
        return len(self._header) + 4 * self._rows * self._width

    def _is_whole(self) -> bool:
        sizes = [
            file.stat().st_size if (file := self.folder / name).exists() else None
            for name in (_FEATURES, _KNOWN)
        ]
        return sizes == [self._bytes, self._rows]


def _make_room(folder: Path) -> None:
    """Remove stores that nobody has used for longest, while all of them take too much."""
    others = [other for other in folder.parent.iterdir() if other != folder and (other / _KNOWN).exists()]
    others.sort(key=lambda other: (other / _KNOWN).stat().st_mtime)
    total = sum(_on_disk(other) for other in others)
    for other in others:
        if total <= _MOST:
            return
        with _nobody_at(other) as free:
            if free:
                total -= _on_disk(other)
                shutil.rmtree(other)


@contextmanager
def _nobody_at(folder: Path) -> Iterator[bool]:
    """Whether no process works on a store; if so, none can begin meanwhile."""
    free = True
    with ExitStack() as locks:
        try:
            for file in folder.glob("*.lock"):
                locks.enter_context(FileLock(file, timeout=0))
        except Timeout:
            free = False
        yield free


def _on_disk(folder: Path) -> int:
    """What it takes on the disk: rows that are not known take nothing."""
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())

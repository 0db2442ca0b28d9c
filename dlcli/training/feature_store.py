"""Features on disk: one vector per row, computed on demand, memory-mapped, and shared by processes."""

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

# Maximum size in bytes of all stores in a folder; beyond it the least recently used ones are removed.
_MOST = 20e9

# Minimum number of rows in a block, and maximum number of blocks in a store. Each block has a lock file.
_BLOCK, _BLOCKS = 256, 64

# Seconds between flushes to disk: a kill or a power failure loses no more than this.
_SECONDS = 1.0

_FEATURES, _KNOWN, _LOCK = "features.npy", "known", "store.lock"

# Rows in any order, and their vectors `(n, width)`.
Computed = Iterable[tuple[np.ndarray, np.ndarray]]


class FeatureStore:
    """Store of vectors `(rows, width)`, some of which are computed.

    Several processes can fill it together. Each computes the blocks of rows that no other process has locked, then
    waits for the locked ones, and completes blocks left unfinished by killed processes.

    Vectors are written to the file, not to a memory map, so that a full disk raises an error instead of ending the
    process by a memory fault.
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
        """Return the rows that have no vector yet."""
        if not self._is_whole():
            return rows
        return rows[~np.fromfile(self.folder / _KNOWN, bool)[rows]]

    def fill(
        self,
        rows: np.ndarray,
        compute: Callable[[np.ndarray], Computed],
        advanced: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Compute the missing vectors of some rows with `compute`, a few at a time.

        `advanced` is called with the number of rows that were added, by this process or by another.
        """
        self._open()
        missing = np.sort(self.missing(rows))
        if len(missing):
            _make_room(self.folder)
        size = max(_BLOCK, -(-self._rows // _BLOCKS))
        left = dict.fromkeys((missing // size).tolist())
        for waits in (False, True):  # first the unlocked blocks, then those locked by others
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
        """Return all vectors as a memory map; those of missing rows are undefined."""
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
                # Flush in this order, so that a row marked as known has its vector even after a power failure.
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
        """Create the files as sparse files, which take no disk space until they are filled."""
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
    """Remove the least recently used stores until the total size is within the limit."""
    others = [other for other in folder.parent.iterdir() if other != folder and (other / _KNOWN).exists()]
    others.sort(key=lambda other: (other / _KNOWN).stat().st_mtime)
    total = sum(_on_disk(other) for other in others)
    for other in others:
        if total <= _MOST:
            return
        with unused_store(other) as free:
            if free:
                total -= _on_disk(other)
                shutil.rmtree(other)


@contextmanager
def unused_store(folder: Path) -> Iterator[bool]:
    """Yield whether a store is unused; if so, no process can start using it within the context."""
    free = True
    with ExitStack() as locks:
        try:
            for file in folder.glob("*.lock"):
                locks.enter_context(FileLock(file, timeout=0))
        except Timeout:
            free = False
        yield free


def _on_disk(folder: Path) -> int:
    """Return the size of a store on disk in bytes; missing rows take no space."""
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())

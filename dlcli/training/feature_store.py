"""Features on disk: one vector a row, filled in as rows are asked for, read by memory map, shared by processes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from dlcli.tracking.ledger import atomic_write

# Bytes that all stores in a folder may take; beyond that the one that was used longest ago goes.
_MOST = 20e9

_FEATURES, _KNOWN, _LOCK = "features.npy", "known.npy", "lock"


class FeatureStore:
    """Vectors `(rows, width)` of which some are known.

    Of several processes one computes, and the others wait and find what it has computed. What a process that is killed
    has computed since it last finished is computed again.
    """

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        self.folder = folder
        self._shape = (rows, width)

    def fill(self, rows: np.ndarray, compute: Callable[[np.ndarray], Iterable[np.ndarray]]) -> None:
        """Have `compute` give the vectors of those rows that are not known, some at a time, in their order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / _LOCK):
            known = self._known()
            missing = rows[~known[rows]]
            if not len(missing):
                (self.folder / _KNOWN).touch()
                return
            _make_room(self.folder)
            file = self.folder / _FEATURES
            mode = "r+" if file.exists() else "w+"
            features = np.lib.format.open_memmap(
                file, mode, np.float32, None if mode == "r+" else self._shape
            )
            done = 0
            try:
                for vectors in compute(missing):
                    features[missing[done : done + len(vectors)]] = vectors
                    done += len(vectors)
            finally:
                features.flush()
                known[missing[:done]] = True
                content = io.BytesIO()
                np.save(content, known)
                atomic_write(self.folder / _KNOWN, content.getvalue())

    def mapped(self) -> np.ndarray:
        """All vectors where they lie; only those of rows that are known mean something."""
        return np.load(self.folder / _FEATURES, mmap_mode="c")

    def _known(self) -> np.ndarray:
        if not (self.folder / _FEATURES).exists():
            return np.zeros(self._shape[0], bool)
        try:
            return np.load(self.folder / _KNOWN, allow_pickle=False)
        except (OSError, EOFError, ValueError):
            return np.zeros(self._shape[0], bool)


def _make_room(folder: Path) -> None:
    """Remove stores that nobody has used for longest, while all of them take too much."""
    others = [other for other in folder.parent.iterdir() if other != folder and (other / _KNOWN).exists()]
    others.sort(key=lambda other: (other / _KNOWN).stat().st_mtime)
    total = sum(_bytes(other) for other in others)
    for other in others:
        if total <= _MOST:
            return
        try:
            with FileLock(other / _LOCK, timeout=0):
                total -= _bytes(other)
                shutil.rmtree(other)
        except Timeout:
            continue  # in use


def _bytes(folder: Path) -> int:
    """What it takes on the disk: rows that are not known take nothing."""
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())

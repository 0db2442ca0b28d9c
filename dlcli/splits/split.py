"""`Split`, the rows of one training run, and `carve`, which draws a share of rows."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.model_selection import train_test_split

from dlcli.errors import CorruptRun, first_line
from dlcli.files.paths import is_file

Part = Literal["train", "val", "test"]

_COPY = "Copy the folder again, or train again."

# Exceptions raised by reading a damaged .npz file, in addition to OSError, ValueError and the like.
_DAMAGED = (
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted row indices of one training run; no row is in two parts."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        rows = np.concatenate([self.train, self.val, self.test])
        if len(np.unique(rows)) != len(rows):
            raise ValueError("a row is in two parts of a split")

    def rows(self, part: Part) -> np.ndarray:
        """Return the rows of one part."""
        return {"train": self.train, "val": self.val, "test": self.test}[part]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of rows per part."""
        return {"train": len(self.train), "val": len(self.val), "test": len(self.test)}

    @property
    def fingerprint(self) -> str:
        """Digest of the row indices of all parts."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.train, self.val, self.test):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """Return the content of `split.npz`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, train=self.train, val=self.val, test=self.test)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path, rows: int | None = None) -> Split:
        """Read `split.npz`; `rows` is the number of rows of the data.

        Raises:
            CorruptRun: the file is missing or damaged, or is not a split of `rows` rows.
        """
        try:
            if not is_file(path):
                raise FileNotFoundError
            with path.open("rb") as file, np.load(file, allow_pickle=False) as parts:
                found = [parts[name] for name in ("train", "val", "test")]
            if not all(part.ndim == 1 and np.issubdtype(part.dtype, np.integer) for part in found):
                raise ValueError("a part does not contain row numbers")
            split = cls(*(part.astype(np.int64) for part in found))
            every = np.concatenate(found)
            if len(every) and (every.min() < 0 or (rows is not None and every.max() >= rows)):
                raise ValueError("it contains row numbers that the data does not have")
        except FileNotFoundError as error:
            raise CorruptRun("the run's split is missing", str(path), _COPY) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, *_DAMAGED) as error:
            raise CorruptRun(
                f"the run's split cannot be read: {first_line(error)}", str(path), _COPY
            ) from error
        return split


def carve(
    rows: np.ndarray, size: float, *, seed: int, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a share `size` of the rows and return (remaining rows, drawn rows), both sorted.

    With `labels`, the same share of each class is drawn as far as possible; classes with a single row count as rows of
    the largest class.
    """
    count = round(size * len(rows))
    if count in (0, len(rows)):
        nothing, everything = rows[:0], np.sort(rows)
        return (everything, nothing) if count == 0 else (nothing, everything)
    stratify = labels[rows] if labels is not None else None
    if stratify is not None:
        _, inverse, per_class = np.unique(stratify, return_inverse=True, return_counts=True)
        # scikit-learn rejects classes with one row, and parts with fewer rows than classes.
        if per_class.min() < 2 or min(count, len(rows) - count) < len(per_class):
            stratify = (
                None if min(count, len(rows) - count) < len(per_class) else _merge_single(inverse, per_class)
            )
    rest, drawn = train_test_split(rows, test_size=count, random_state=seed, stratify=stratify)
    return np.sort(rest), np.sort(drawn)


def _merge_single(codes: np.ndarray, per_class: np.ndarray) -> np.ndarray:
    """Return the codes with classes of a single row replaced by the largest class."""
    single = per_class[codes] < 2
    return np.where(single, per_class.argmax(), codes)

"""Splits into training, validation and test rows: files, checks, limits, and the interface of strategies."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import CorruptRun, DataError, first_line
from dlcli.files.damaged_archives import DAMAGED_ZIP
from dlcli.files.regular import os_reason
from dlcli.gate.arrays import open_arrays

Part = Literal["train", "val", "test"]

_COPY = "Copy the folder again, or train again."

_PARTS: tuple[Part, ...] = ("train", "val", "test")

# Maximum ratio of a split's size to that of its file (row numbers compress by a factor of 5), and the size in bytes up
# to which any ratio is accepted.
_RATIO, _SMALL = 64, 1 << 20


HELD_OUT, FINAL_TEST = "held-out", "final test"


def name_of_test_rows(is_fold: bool) -> str:
    """Return the name of a split's `test` rows in texts and tables: `held-out` for a fold, else `final test`.

    Keys of metrics are `test/...` in both cases, for the rows that the run itself is tested on.
    """
    return HELD_OUT if is_fold else FINAL_TEST


def name_of_part(part: str, is_fold: bool) -> str:
    """Return the name of a part of a split in texts and tables: `train`, `val`, `held-out` or `final test`."""
    return name_of_test_rows(is_fold) if part == "test" else part


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted row indices of one training run; no row is in two parts."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        rows = np.sort(np.concatenate([self.train, self.val, self.test]), kind="stable")
        twice = rows[1:][rows[1:] == rows[:-1]]
        if len(twice):
            places = [part for part in ("train", "val", "test") for row in self.rows(part) if row == twice[0]]
            raise ValueError(
                f"row {twice[0]} is in {places[0]} and in {places[1]}; a split has each row once"
            )

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
            with open_arrays(path) as parts:
                headers = [parts.header(name) for name in _PARTS]
                if not all(
                    len(part.shape) == 1 and np.issubdtype(part.dtype, np.integer) for part in headers
                ):
                    raise ValueError("a part does not contain row numbers")
                count = sum(part.shape[0] for part in headers)
                # Distinct row numbers cannot be compressed as much as repeated ones.
                most = _SMALL + _RATIO * sum(part.packed for part in headers)
                if (rows is not None and count > rows) or sum(part.unpacked for part in headers) > most:
                    raise ValueError(f"it has {count:,} rows, more than it can have")
                found = [parts.read(name) for name in _PARTS]
            split = cls(*(part.astype(np.int64) for part in found))
            every = np.concatenate(found)
            if len(every) and (every.min() < 0 or (rows is not None and every.max() >= rows)):
                raise ValueError("it contains row numbers that the data does not have")
        except OSError as error:
            raise CorruptRun(f"the run's split {os_reason(error)}", str(path), _COPY) from error
        except (ValueError, KeyError, TypeError, AttributeError, MemoryError, *DAMAGED_ZIP) as error:
            raise CorruptRun(
                f"the run's split cannot be read: {first_line(error)}", str(path), _COPY
            ) from error
        return split


class Strategy(Protocol):
    """Makes splits of the data; deterministic for given data and arguments."""

    def splits(self, data: Data) -> list[Split]:
        """Return one split per training run; the held-out rows of a fold are its `test`."""

    def final_test(self, data: Data) -> np.ndarray:
        """Return the sorted rows that a refitted model is tested on, which are in no fold except that of hold-out."""


def check_overlap(data: Data, splits: list[Split], *, searches: bool = False) -> None:
    """Raise an error if rows in two parts of a split forecast the same steps of a series.

    The input history of a row may lie in another part, because it is known when the forecast is made.

    Args:
        data: the rows.
        splits: their splits.
        searches: whether folds search, which no strategy that divides a series in time can do.

    Raises:
        DataError: there are such rows.
    """
    for split in splits:
        for part, other in combinations(_PARTS, 2):
            rows, others = split.rows(part), split.rows(other)
            if len(without_overlap(data, rows, others)) < len(rows):
                hint = "Split a series in time: choose cv=holdout or cv=time_series"
                hint += ", or hold out whole series: cv=group_kfold." if data.groups is not None else "."
                hint += " Search with one of them: dlcli sweep." if searches else ""
                message = f"rows of {data.name} in {part} and in {other} forecast the same steps"
                raise DataError(message, where="cv", hint=hint)


def shares_rows(rows: np.ndarray, others: np.ndarray) -> bool:
    """Return whether both contain a common row."""
    return bool(np.isin(rows, others).any())


def without_overlap(data: Data, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the rows whose targets share no step with the targets of the others."""
    if data.reach is None or data.times is None or len(others) == 0:
        return rows
    starts_of_others = np.sort(data.times[others])
    starts = data.times[rows]
    # The first of the others whose target ends at or after the row's start; it overlaps unless it starts after the end.
    nearest = np.searchsorted(starts_of_others, starts - data.reach)
    overlaps = (nearest < len(starts_of_others)) & (
        starts_of_others[np.minimum(nearest, len(starts_of_others) - 1)] <= starts + data.reach
    )
    return rows[~overlaps]


def in_time(data: Data, split: Split) -> bool:
    """Return whether the data has times, and the parts of the split follow each other in time."""
    return data.order == "time" and data.times is not None and goes_forward(data.times, split)


def goes_forward(times: np.ndarray, split: Split) -> bool:
    """Return whether training rows precede validation rows, and those precede test rows; one of `times` per row."""
    parts = [times[rows] for rows in (split.train, split.val, split.test) if len(rows)]
    return all(earlier.max() < later.min() for earlier, later in pairwise(parts))


def limit_splits(splits: Sequence[Split], rows: int | None, folds: int | None) -> Sequence[Split]:
    """Return the first `folds` splits with at most `rows` rows in each part; None means no limit."""
    kept = splits[:folds] if folds else splits
    if not rows:
        return kept
    return [
        Split(*(thin_rows(part, rows) for part in (split.train, split.val, split.test))) for split in kept
    ]


def thin_rows(rows: np.ndarray, most: int | None) -> np.ndarray:
    """Return at most `most` of the rows, evenly spaced, so that rows sorted by class keep some of each class."""
    if not most or len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]

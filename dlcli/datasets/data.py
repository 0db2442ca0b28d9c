"""`Data`: raw rows, as every dataset hands them over."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

Kind = Literal["table", "image", "sequence", "tokens"]


@dataclass(frozen=True, eq=False)
class Data:
    """Raw rows and their targets, before anything is fitted or split.

    `x` holds one entry a row: a pandas DataFrame for tables, an array for the rest, images as `(N, H, W)` or
    `(N, H, W, C)` bytes. `y` are int64 class codes `(N,)`, positions in `classes`. `test_rows` are the indices of the
    dataset's own test set, where it has one: splits never train or validate on them.

    What some splits go by, one entry a row, where the data has it: `groups` (rows that belong together, such as one
    patient's), `times` (anything that can be sorted), `parts` (a split that is given: the words train, val and test,
    or fold numbers, -1 for rows that always train).
    """

    name: str
    kind: Kind
    x: Any
    y: np.ndarray
    classes: tuple[str, ...]
    source: str = ""
    test_rows: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    parts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def strata(self) -> np.ndarray | None:
        """The codes `(N,)` whose shares a split can keep equal; None where a row has no single class."""
        return self.y if self.y.ndim == 1 and np.issubdtype(self.y.dtype, np.integer) else None

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all raw values, targets and classes: equal data, equal fingerprint."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.kind, self.classes)).encode())
        for part in (self.x, self.y, self.test_rows):
            _update(digest, part)
        return digest.hexdigest()


def take(x: Any, rows: Sequence[int] | np.ndarray) -> Any:
    """The given rows of raw data, in that order."""
    return x.iloc[rows] if hasattr(x, "iloc") else x[rows]


def _update(digest: hashlib.blake2b, part: Any) -> None:
    if part is None:
        digest.update(b"none")
    elif hasattr(part, "iloc"):
        import pandas as pd

        digest.update(repr(list(part.columns)).encode())
        digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
    else:
        array = np.ascontiguousarray(part)
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(array.data.cast("B") if array.size else b"")

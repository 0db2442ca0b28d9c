"""`Data`: raw rows, as every dataset hands them over."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from dlcli.errors import Problem

Kind = Literal["table", "image", "sequence", "tokens"]
TargetKind = Literal["binary", "multiclass", "multilabel", "regression", "forecast"]


@dataclass(frozen=True, eq=False)
class Data:
    """Raw rows and their targets, before anything is fitted or split.

    `x` holds one entry a row: a pandas DataFrame for tables, `dlcli.datasets.texts.Texts` for texts, an array for the
    rest, images as `(N, H, W)` or `(N, H, W, C)` bytes. `test_rows` are the indices of the dataset's own test set,
    where it has one: splits never train or validate on them. `val_rows` are those of its own validation set: a hold-out
    validates on them, folds take them as any other row.

    What `y` holds decides what can be learnt from it (`target_kind`):

    - int64 codes `(N,)`, positions in `classes`: one class a row, binary where there are two;
    - integers 0 and 1 `(N, K)`: multilabel, where `classes` are the K labels' names;
    - floats `(N,)` or `(N, K)`, in the user's own unit: regression, where `targets` are the K columns' names;
    - floats `(N, horizon, K)`, as `dlcli.datasets.windows.Windows`: a forecast.

    What some splits go by, one entry a row, where the data has it: `groups` (rows that belong together, such as one
    patient's, or one of several series), `times` (anything that can be sorted), `parts` (a split that is given: the
    words train, val and test, or fold numbers, -1 for rows that always train).

    `note` tells a person how the rows are held. `content`, where it is given, is a digest that stands for `x` in the
    fingerprint: of rows that stay in files, and are the same rows when they are in memory.

    `warnings` are what is odd about the rows, with the place in their file, though nothing is refused for it.

    `reach` says that rows are stretches of time which overlap: a row's target reaches so far behind its own time, which
    is a whole number then. Such rows are split in time alone, for a target must not lie in two parts; by groups, too,
    where these are series.
    """

    name: str
    kind: Kind
    x: Any
    y: Any
    classes: tuple[str, ...] = ()
    source: str = ""
    test_rows: np.ndarray | None = None
    targets: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    parts: np.ndarray | None = None
    note: str = ""
    content: str = ""
    reach: int | None = None
    val_rows: np.ndarray | None = None
    warnings: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        if np.issubdtype(self.y.dtype, np.floating):
            self._need(
                self.targets, 1 if self.y.ndim == 1 else self.y.shape[-1], "a name for each target column"
            )
        elif not np.issubdtype(self.y.dtype, np.integer):
            raise TypeError(f"targets are int64 codes, 0/1 integers or floats, these are {self.y.dtype}")
        elif self.y.ndim == 2:
            self._need(self.classes, self.y.shape[1], "a name for each label")

    def _need(self, names: tuple[str, ...], columns: int, what: str) -> None:
        if len(names) != columns:
            raise ValueError(f"{self.name} needs {what}: {columns}, not {len(names)}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def target_kind(self) -> TargetKind:
        """What the targets are; the name of the task that fits them."""
        if np.issubdtype(self.y.dtype, np.floating):
            return "forecast" if self.y.ndim == 3 else "regression"
        if self.y.ndim == 2:
            return "multilabel"
        return "binary" if len(self.classes) == 2 else "multiclass"

    @property
    def strata(self) -> np.ndarray | None:
        """The codes `(N,)` whose shares a split can keep equal; None where a row has no single class."""
        return self.y if self.target_kind in ("binary", "multiclass") else None

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all raw values, targets and their names: equal data, equal fingerprint."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.kind, self.classes, self.targets)).encode())
        digest.update(self.content.encode())
        own_val = () if self.val_rows is None else (self.val_rows,)
        for part in (None if self.content else self.x, self.y, self.test_rows, *own_val):
            _update(digest, part)
        return digest.hexdigest()


def take(x: Any, rows: Sequence[int] | np.ndarray) -> Any:
    """The given rows of raw data, in that order."""
    return x.iloc[rows] if hasattr(x, "iloc") else x[rows]


def _update(digest: hashlib.blake2b, part: Any) -> None:
    if part is None:
        digest.update(b"none")
    elif hasattr(part, "pieces"):
        for piece in part.pieces():
            _update(digest, piece)
    elif isinstance(part, int | str | tuple):
        digest.update(repr(part).encode())
    elif hasattr(part, "iloc"):
        import pandas as pd

        digest.update(repr(list(part.columns)).encode())
        digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
    else:
        array = np.ascontiguousarray(part)
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(array.data.cast("B") if array.size else b"")

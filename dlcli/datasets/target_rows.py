"""`TargetRows`: what a kind of targets tells about itself, so that a new kind changes no code elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from dlcli.config.target_kinds import TargetKind
from dlcli.formatting import counted


class TargetRows(ABC):
    """Base class of kinds of targets, with an entry for each row.

    Attributes:
        target_kind: the kind, which is also the name of its task.
        unmixable: what augmentation cannot mix, such as `the boxes of two images`; empty if it can.
    """

    target_kind: ClassVar[TargetKind]
    unmixable: ClassVar[str] = ""
    ndim: ClassVar[int] = 1

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N,)`."""
        return (len(self),)

    @abstractmethod
    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the facts, in plain types, that parameters of the task are filled with by name.

        Args:
            train: positions of the training rows, on which statistics are computed.
            names: names of the classes, or of the target columns of numbers.
        """

    def described(self, names: Sequence[str]) -> str:
        """Return what is predicted, for the panel, such as `3 classes`."""
        return counted(len(names), "class", "classes")

    def rows_with(self, classes: int) -> np.ndarray:
        """Return the number of rows of each class `(C,)`, or with a pixel, a box or a word of it."""
        return np.zeros(classes, np.int64)


@dataclass(frozen=True, eq=False)
class RaggedTargets(TargetRows):
    """Targets of different numbers of values: row i has `lengths[i]` of `values` from `starts[i]` on.

    Attributes:
        values: values of all rows `(V,)` or `(V, K)`, int64.
        starts: first value of each row `(N,)`.
        lengths: number of values of each row `(N,)`.
        rows: the raw rows that the targets belong to, which support the same indexing.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    rows: Any

    @classmethod
    def concatenated(cls, values: Sequence[Sequence[Any]], shape: tuple[int, ...], rows: Any) -> Self:
        """Return the targets of rows, given the values of each; `shape` is that of one value."""
        lengths = np.array([len(own) for own in values], np.int64)
        flat = np.array([value for own in values for value in own], np.int64).reshape(-1, *shape)
        return cls(flat, lengths.cumsum() - lengths, lengths, rows)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Self:
        return replace(self, starts=self.starts[rows], lengths=self.lengths[rows], rows=self.rows[rows])

    def of_each(self) -> Iterator[np.ndarray]:
        """Yield the values of each row."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield self.values[start : start + length]

"""Sequences of unequal length, end to end in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, eq=False)
class RaggedRows:
    """Row i is `lengths[i]` steps of `values` from `starts[i]` on.

    Attributes:
        values: of all steps `(S, F)`, in the user's unit.
        columns: the F names.
        starts: each row's first step `(N,)`.
        lengths: `(N,)`.
        length: of all sequences of the dataset, where they have the same; else 0.
        id: the column whose equal values make a sequence.
        time: the column that orders its steps; None where they stand in order.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    starts: np.ndarray
    lengths: np.ndarray
    length: int
    id: str
    time: str | None

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> Self:
        return replace(self, starts=self.starts[rows], lengths=self.lengths[rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, T, F)`; T is 0 where lengths differ."""
        return len(self), self.length, self.values.shape[1]

    def flat(self) -> np.ndarray:
        """The steps of these rows, one row after the other, `(L_1 + ... + L_N, F)`."""
        ends = self.lengths.cumsum()
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - self.lengths, self.lengths)
        return self.values[np.repeat(self.starts, self.lengths) + within]

    def pieces(self) -> tuple[Any, ...]:
        """What makes them what they are, for a fingerprint."""
        return self.values, self.columns, self.starts, self.lengths


def one_length(lengths: np.ndarray) -> int:
    """The length of all rows; 0 where they differ."""
    return int(lengths[0]) if len(lengths) and bool((lengths == lengths[0]).all()) else 0

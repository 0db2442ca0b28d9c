"""Sequences of unequal length, end to end in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from dlcli.datasets.tables.columns import Place, as_dates, as_numbers, kind_of
from dlcli.errors import DataError


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


def order_of_steps(ids: np.ndarray, times: pd.Series | None, place: Place) -> np.ndarray:
    """Rows of a table of steps by sequence, and within each by time `(S,)`.

    The one order of training files and new rows: words are read as dates, lest "11:00" come before "8:00".

    Args:
        ids: the number of each step's sequence `(S,)`.
        times: dates or numbers; None leaves the steps of a sequence in the order in which they stand.
        place: where a row and column are, for messages.

    Raises:
        DataError: a time is missing, is neither number nor date, or is twice there in one sequence.
    """
    if times is None:
        return np.argsort(ids, kind="stable")
    name = str(times.name)
    missing = times.isna().to_numpy()
    if missing.any():
        row = int(missing.argmax())
        raise DataError("the time is missing", place(row, name), "Fill it in, or leave the step out.")
    column = times.infer_objects()
    numeric = kind_of(column) in ("numeric", "boolean")
    when = as_numbers(column, place) if numeric else as_dates(column, place).to_numpy()
    order = np.lexsort((when, ids))
    twice = (np.diff(ids[order]) == 0) & (when[order][1:] == when[order][:-1])
    if twice.any():
        row = int(order[1:][twice].min())
        raise DataError(
            f"{times.iloc[row]} is there twice in one sequence",
            place(row, name),
            "Keep one row for each step.",
        )
    return order

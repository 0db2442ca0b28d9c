"""Sequences of unequal length, stored contiguously."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from dlcli.datasets.tables.typed_frames import Place, as_dates, as_numbers, kind_of
from dlcli.errors import DataError


@dataclass(frozen=True, eq=False)
class RaggedRows:
    """Sequences; row i is `values[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        values: values of all steps `(S, F)`, in the user's unit.
        columns: names of the F columns.
        starts: first step of each row `(N,)`.
        lengths: number of steps of each row `(N,)`.
        length: common length of all sequences of the dataset; 0 if they differ.
        id: name of the column whose equal values form a sequence.
        time: name of the column that orders the steps of a sequence; None if they are in file order.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    starts: np.ndarray
    lengths: np.ndarray
    length: int
    id: str
    time: str | None

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """Return the rows of an array `(N, T, F)`, whose columns are called `x0`, `x1`, ..."""
        count, steps, features = x.shape
        columns = tuple(f"x{number}" for number in range(features))
        starts = np.arange(count) * steps
        return cls(x.reshape(-1, features), columns, starts, np.full(count, steps), steps, "id", None)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> Self:
        return replace(self, starts=self.starts[rows], lengths=self.lengths[rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, T, F)`; T is 0 if lengths differ."""
        return len(self), self.length, self.values.shape[1]

    def flat(self) -> np.ndarray:
        """Return the concatenated steps of the rows `(L_1 + ... + L_N, F)`."""
        ends = self.lengths.cumsum()
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - self.lengths, self.lengths)
        return self.values[np.repeat(self.starts, self.lengths) + within]

    def pieces(self) -> tuple[Any, ...]:
        """Return the values that the fingerprint is computed from."""
        return self.values, self.columns, self.starts, self.lengths


def one_length(lengths: np.ndarray) -> int:
    """Return the common length of all rows; 0 if they differ."""
    return int(lengths[0]) if len(lengths) and bool((lengths == lengths[0]).all()) else 0


def order_of_steps(ids: np.ndarray, times: pd.Series | None, place: Place) -> np.ndarray:
    """Return the order `(S,)` of the rows of a table of steps by sequence, and by time within each.

    Training files and new rows use the same order. Strings are parsed as dates, because "11:00" would sort before
    "8:00" otherwise.

    Args:
        ids: number of each step's sequence `(S,)`.
        times: dates or numbers; None keeps the steps of a sequence in file order.
        place: returns the place of a row and column, for messages.

    Raises:
        DataError: a time is missing, is neither a number nor a date, or occurs twice in one sequence.
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
    duplicate = (np.diff(ids[order]) == 0) & (when[order][1:] == when[order][:-1])
    if duplicate.any():
        row = int(order[1:][duplicate].min())
        raise DataError(
            f"{times.iloc[row]} occurs twice in one sequence",
            place(row, name),
            "Keep one row per step.",
        )
    return order

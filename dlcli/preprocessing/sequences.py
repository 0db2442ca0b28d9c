"""Preprocessing of sequences: features scaled by statistics of the training rows, unequal lengths padded per batch."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator

from dlcli.datasets.ragged_rows import RaggedRows, order_of_steps
from dlcli.datasets.tables.typed_frames import named
from dlcli.errors import DataError
from dlcli.preprocessing.new_row_checks import blocks, numbers
from dlcli.preprocessing.ragged import Ragged
from dlcli.statistics.deviation import deviations

_HINT = "Fill it in, or leave the step out."


class Sequences(BaseEstimator):
    """Conversion of sequences to `x` `(N, T, F)` if all have the same length, else to a `Ragged` `x` with `lengths`.

    Each feature is scaled to mean 0 and deviation 1 over all steps of the training rows; padding is 0, the mean.
    """

    def __init__(self, scaling: Literal["standard", "none"] = "standard") -> None:
        self.scaling = scaling

    def fit(self, x: RaggedRows | np.ndarray) -> Self:
        """Compute mean and deviation of each feature of sequences, or of an array `(N, T, F)`."""
        if not isinstance(x, RaggedRows):
            x = RaggedRows.of(x)
        self.columns_, self.id_, self.time_ = list(x.columns), x.id, x.time
        steps = x.flat()
        plain = self.scaling == "none"
        self.mean_ = np.zeros(len(x.columns)) if plain else steps.mean(axis=0)
        self.std_ = np.ones(len(x.columns)) if plain else deviations(steps)
        self.length_ = x.length
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: RaggedRows | pd.DataFrame | np.ndarray) -> dict[str, Any]:
        """Return `x` as floats `(N, T, F)`, or for unequal lengths a `Ragged` `x` and `lengths` `(N,)`.

        Raises:
            DataError: raw steps (see `rows`) lack a column or a value, or a sequence differs in length from the
                training sequences although those all had the same length.
        """
        if not isinstance(x, RaggedRows):
            x = self.rows(x)
        steps = ((x.flat() - self.mean_) / self.std_).astype(np.float32)
        if not self.length_:
            lengths = torch.from_numpy(x.lengths.astype(np.int64))
            return {"x": Ragged(torch.from_numpy(steps), lengths), "lengths": lengths}
        other = x.lengths[x.lengths != self.length_]
        if len(other):
            raise DataError(
                f"a sequence has {other[0]} steps, but all training sequences have {self.length_}",
                "new data",
            )
        return {"x": steps.reshape(len(x), self.length_, len(self.columns_))}

    def facts(self) -> dict[str, Any]:
        """Return no facts: the shape of `x` is sufficient."""
        return {}

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def rows(self, steps: pd.DataFrame | np.ndarray) -> RaggedRows:
        """Convert raw steps to rows: a table with one line per step, an array `(N, T, F)`, or `(T, F)` for one row.

        A table without the id column is one sequence. Sequences are in the order of their first step, and the steps of
        each are ordered by the time column as in training, if the table has it.

        Raises:
            DataError: a column, an id, a time or a value is missing, or a value is not a number.
        """
        columns = self.columns_
        if isinstance(steps, pd.DataFrame):
            steps = named(steps, [*columns, *filter(None, [self.id_, self.time_])])
            values, ids = numbers(steps, columns, _place), self._ids(steps)
            time = steps[self.time_] if self.time_ in steps.columns else None
            order, lengths = order_of_steps(ids, time, _place), np.bincount(ids)
            missing = [_place(row, columns[column]) for row, column in np.argwhere(np.isnan(values))[:1]]
            values = values[order]
        else:
            array = blocks(steps, columns)
            values, lengths = array.reshape(-1, len(columns)), np.full(len(array), array.shape[1])
            missing = [
                f"new data: row {row}, step {step}, column {columns[column]}"
                for row, step, column in np.argwhere(np.isnan(array))[:1]
            ]
        if missing:
            raise DataError("a value is missing", missing[0], _HINT)
        starts = lengths.cumsum() - lengths
        return RaggedRows(values, tuple(columns), starts, lengths, self.length_, self.id_, self.time_)

    def _ids(self, steps: pd.DataFrame) -> np.ndarray:
        """Return the sequence index of each step `(S,)`."""
        if self.id_ not in steps.columns:
            return np.zeros(len(steps), dtype=np.int64)
        ids = steps[self.id_].factorize()[0]
        if (ids < 0).any():
            raise DataError("the id is missing", _place(int(ids.argmin()), self.id_), _HINT)
        return ids


def _place(row: int, column: str) -> str:
    return f"new data: row {row + 1}, column {column}"

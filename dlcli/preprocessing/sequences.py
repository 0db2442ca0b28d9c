"""Sequences: each feature scaled by the training rows' steps; rows of unequal length are padded batch by batch."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator

from dlcli.config.suggest import did_you_mean
from dlcli.datasets.ragged import RaggedRows
from dlcli.errors import DataError
from dlcli.preprocessing.ragged import Ragged


class Sequences(BaseEstimator):
    """Sequences to `x`: `(N, T, F)` where all have one length, else ragged, with their `lengths`.

    Each feature has mean 0 and deviation 1 over all steps of the training rows; padding is 0, the mean.
    """

    def __init__(self, scaling: Literal["standard", "none"] = "standard") -> None:
        self.scaling = scaling

    def fit(self, x: RaggedRows) -> Self:
        """Measure the features."""
        self.columns_, self.id_, self.time_ = list(x.columns), x.id, x.time
        steps = x.flat()
        plain = self.scaling == "none"
        std = steps.std(axis=0)
        self.mean_ = np.zeros_like(std) if plain else steps.mean(axis=0)
        # A feature that never changes has deviation 0: leave its scale alone.
        self.std_ = np.ones_like(std) if plain else np.where(std > 0, std, 1.0)
        self.length_ = x.length
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: RaggedRows | pd.DataFrame | np.ndarray) -> dict[str, Any]:
        """`x`, floats `(N, T, F)` or a field of rows of unequal length, those with their `lengths` `(N,)`.

        Raises:
            DataError: raw steps (`rows`) lack a column or a value, or a sequence is not as long as those of the
                training, where these had one length.
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
                f"a sequence has {other[0]} steps; those that the model has learnt have {self.length_}",
                "new data",
            )
        return {"x": steps.reshape(len(x), self.length_, -1)}

    def facts(self) -> dict[str, Any]:
        """Nothing that the shape of `x` does not say."""
        return {}

    def on_device(self) -> None:
        """Nothing remains to be done."""

    def rows(self, steps: pd.DataFrame | np.ndarray) -> RaggedRows:
        """Raw steps as rows: a table with a line for each step, or an array `(N, T, F)`.

        A table without the column of ids is one sequence; sequences are in the order in which they begin.

        Raises:
            DataError: a column or a value is missing.
        """
        if not isinstance(steps, pd.DataFrame):
            blocks = np.asarray(steps, dtype=np.float64)
            values, lengths = blocks.reshape(-1, blocks.shape[-1]), np.full(len(blocks), blocks.shape[1])
        else:
            for column in self.columns_:
                if column not in steps.columns:
                    near = did_you_mean(column, map(str, steps.columns))
                    raise DataError(f"the model needs the column {column}", "new data", near)
            ids = (
                steps[self.id_].factorize()[0]
                if self.id_ in steps.columns
                else np.zeros(len(steps), dtype=int)
            )
            timed = self.time_ is not None and self.time_ in steps.columns
            order = np.lexsort((steps[self.time_], ids)) if timed else np.argsort(ids, kind="stable")
            values, lengths = steps[self.columns_].to_numpy(dtype=np.float64)[order], np.bincount(ids)
        if np.isnan(values).any():
            raise DataError("a value is missing", "new data", "Fill it in, or leave the step out.")
        starts = lengths.cumsum() - lengths
        return RaggedRows(values, tuple(self.columns_), starts, lengths, self.length_, self.id_, self.time_)

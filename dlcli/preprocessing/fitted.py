"""Fitting a preprocessing, and the proof of which rows it saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from dlcli.datasets.data import Data, take
from dlcli.errors import DataError
from dlcli.preprocessing.base import Preprocessing
from dlcli.splits.split import Split


@runtime_checkable
class DropsRows(Protocol):
    """A preprocessing that leaves out some of the rows that are trained on; never any other."""

    def kept_rows(self, x: object, y: np.ndarray) -> np.ndarray:
        """Which of the training rows are trained on, booleans `(N,)`; x is raw, y as `Data` has it."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A preprocessing, and the rows of the data that it was fitted on: the split's training rows that are trained on.

    Attributes:
        preprocessing: fitted.
        rows: indices of what it was given.
    """

    preprocessing: Preprocessing
    rows: np.ndarray

    def proof(self, data: Data, split: Split) -> str:
        """What it has seen: `fitted on 1,119 of 1,599 rows; 0 validation or test rows seen`."""
        leaked = int(np.isin(self.rows, np.concatenate([split.val, split.test])).sum())
        seen = getattr(self.preprocessing, "rows_seen_", len(self.rows))
        dropped = len(split.train) - len(self.rows)
        less = f"; {dropped:,} training rows dropped" if dropped > 0 else ""
        return f"fitted on {seen:,} of {len(data):,} rows; {leaked:,} validation or test rows seen{less}"


def fit_preprocessing(
    preprocessing: Preprocessing, data: Data, split: Split, at_most: int | None = None
) -> Fitted:
    """Fit it on a split's training rows, without those that it drops, and on the first `at_most` of them.

    Raises:
        DataError: it drops all of them.
    """
    rows = split.train
    if isinstance(preprocessing, DropsRows):
        kept = preprocessing.kept_rows(take(data.x, rows), data.y[rows])
        rows = rows[kept] if not kept.all() else rows
        if not len(rows):
            raise DataError(
                f"all {len(kept):,} training rows would be dropped",
                "preprocessing",
                "Fill gaps (preprocessing.missing=median), or clip outliers (preprocessing.outliers=clip).",
            )
    rows = rows[:at_most]
    return Fitted(preprocessing.fit(take(data.x, rows)), rows)

"""Fit a preprocessing, and report the rows it was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from dlcli.datasets.data import Data, take
from dlcli.errors import DataError
from dlcli.preprocessing.protocols import Preprocessing
from dlcli.splits.split import Split


@runtime_checkable
class DropsRows(Protocol):
    """Preprocessing that may drop training rows."""

    @property
    def drops_rows(self) -> bool:
        """Whether the settings drop rows."""

    def kept_rows(self, x: object, y: np.ndarray) -> np.ndarray:
        """Return a boolean mask `(N,)` of the training rows to keep, given raw x and y of `Data`."""


@runtime_checkable
class FitsOnRows(Protocol):
    """Preprocessing that can be fitted on some rows without copying them."""

    def fit_on(self, x: Any, rows: np.ndarray) -> Preprocessing:
        """Fit on the rows of raw x with these indices, and return the preprocessing."""


@runtime_checkable
class FitsAndTransforms(Protocol):
    """Preprocessing that computes the fields of the rows that it is fitted on in less time than one after the other."""

    def fit_and_transform(self, x: Any) -> dict[str, Any]:
        """Fit on raw rows as `fit` does, and return their fields as `transform` does."""


@dataclass(frozen=True, eq=False)
class FittedPreprocessing:
    """A fitted preprocessing and the rows that it was fitted on, which are the training rows that were not dropped.

    Attributes:
        preprocessing: the fitted preprocessing.
        rows: indices of the rows that it was fitted on.
        fields: the fields of these rows, if they were computed as well.
    """

    preprocessing: Preprocessing
    rows: np.ndarray
    fields: dict[str, Any] | None = None

    def proof(self, data: Data, split: Split) -> str:
        """Return a statement such as `fitted on 1,119 of 1,599 rows; 0 validation or test rows seen`."""
        leaked = int(np.isin(self.rows, np.concatenate([split.val, split.test])).sum())
        seen = getattr(self.preprocessing, "rows_seen_", len(self.rows))
        dropped = len(split.train) - len(self.rows)
        less = f"; {dropped:,} training rows dropped" if dropped > 0 else ""
        return f"fitted on {seen:,} of {len(data):,} rows; {leaked:,} validation or test rows seen{less}"


def fit_preprocessing(
    preprocessing: Preprocessing, data: Data, split: Split, at_most: int | None = None
) -> FittedPreprocessing:
    """Fit a preprocessing on the training rows of a split, without dropped ones, using at most the first `at_most`.

    Raises:
        DataError: the preprocessing drops all training rows.
    """
    rows = split.train
    if isinstance(preprocessing, DropsRows) and preprocessing.drops_rows:
        kept = preprocessing.kept_rows(take(data.x, rows), data.y[rows])
        rows = rows[kept]
        if not len(rows):
            raise DataError(
                f"all {len(kept):,} training rows would be dropped",
                "preprocessing",
                "Fill missing values (preprocessing.missing=median), or clip outliers (preprocessing.outliers=clip).",
            )
    rows = rows[:at_most]
    if isinstance(preprocessing, FitsOnRows):
        return FittedPreprocessing(preprocessing.fit_on(data.x, rows), rows)
    if isinstance(preprocessing, FitsAndTransforms):
        return FittedPreprocessing(preprocessing, rows, preprocessing.fit_and_transform(take(data.x, rows)))
    return FittedPreprocessing(preprocessing.fit(take(data.x, rows)), rows)

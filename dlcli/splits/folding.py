"""Base class of strategies with held-out folds, which set the final test rows aside before the folds are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import Carver, Share, make_splits, set_aside
from dlcli.splits.split import Split


@dataclass(frozen=True, kw_only=True)
class Folding(ABC):
    """Base class of `Strategy` classes whose folds are made of all rows except the final test rows.

    Attributes:
        test_size: share of the rows that are in no fold, for the final test of a refitted model.
        val_size: share of a fold's training rows used for validation.
    """

    test_size: Share = 0.0
    val_size: Share = 0.15

    def splits(self, data: Data) -> list[Split]:
        """Return one split per fold.

        Raises:
            DataError: the data lacks a column that the strategy depends on, or has too few rows for the folds.
        """
        rows, _ = set_aside(data, self.test_size, self._carver(data))
        return self.splits_of(data, rows)

    def splits_of(self, data: Data, rows: np.ndarray) -> list[Split]:
        """Return one split per fold, made of these rows only."""
        return make_splits(self._folds(data, rows), rows, self.val_size, self._carver(data), data.reach)

    def final_test(self, data: Data) -> np.ndarray:
        """Return the dataset's own test rows, else a share `test_size` of all rows."""
        return set_aside(data, self.test_size, self._carver(data))[1]

    @abstractmethod
    def _folds(self, data: Data, rows: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yield for each fold the positions in `rows` of the training rows and of the held-out rows."""

    @abstractmethod
    def _carver(self, data: Data) -> Carver:
        """Return the carver for the strategy, which keeps the same rows together as its folds."""


def classes_of(data: Data, alternative: str) -> np.ndarray:
    """Return the class codes `(N,)` to stratify by.

    Raises:
        DataError: rows do not have one class each; the hint names the `alternative` strategy.
    """
    if data.strata is None:
        hint = f"Choose cv={alternative}."
        raise DataError(f"{data.name} does not have one class per row to stratify by", "cv.stratify", hint)
    return data.strata

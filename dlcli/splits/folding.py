"""What strategies with held-out folds share: final test rows go aside first, validation rows come out of each fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import Carver, make_splits, set_aside
from dlcli.splits.split import Split


class Folding(ABC):
    """A `Strategy` whose folds are made of all rows but the final test rows.

    Attributes:
        test_size: share of the rows that no fold sees, for the final test of a refitted model.
        val_size: share of a fold's training rows that validates.
    """

    test_size: float
    val_size: float

    def splits(self, data: Data) -> list[Split]:
        """One split a fold.

        Raises:
            DataError: the data lacks what the strategy goes by, or does not suffice for such folds.
        """
        rows, _ = set_aside(data, self.test_size, self._carver(data))
        return self.splits_of(data, rows)

    def splits_of(self, data: Data, rows: np.ndarray) -> list[Split]:
        """One split a fold, made of these rows alone."""
        return make_splits(self._folds(data, rows), rows, self.val_size, self._carver(data))

    def final_test(self, data: Data) -> np.ndarray:
        """The dataset's own test rows, else a share `test_size`."""
        return set_aside(data, self.test_size, self._carver(data))[1]

    @abstractmethod
    def _folds(self, data: Data, rows: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Positions in `rows`: those of a fold's training, and those that it holds out."""

    @abstractmethod
    def _carver(self, data: Data) -> Carver:
        """What sets rows aside without tearing apart what belongs together."""


def classes_of(data: Data, instead: str) -> np.ndarray:
    """The codes `(N,)` to stratify by.

    Raises:
        DataError: a row has no single class; `instead` names the strategy that needs none.
    """
    if data.strata is None:
        hint = f"Choose cv={instead}."
        raise DataError(f"{data.name} has no single class a row to stratify by", "cv.stratify", hint)
    return data.strata

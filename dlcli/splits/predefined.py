"""A split that the data brings with it, in a column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import Carver, Seed, Share, by_default, make_splits, need
from dlcli.splits.split import Split

_WORDS = ("train", "val", "test")


class Predefined:
    """One split by the words train, val and test; or a fold for each number, rows with -1 always training.

    Args:
        val_size: share of the training rows (of their groups, where the data has any; the latest, where it has times)
            that validates, where the column names none.
        seed: of the validation rows.
    """

    def __init__(self, val_size: Share = 0.15, seed: Seed = 0) -> None:
        self.val_size = val_size
        self.seed = seed

    def splits(self, data: Data) -> list[Split]:
        """The splits of the column.

        Raises:
            DataError: the data has no such column, or it holds something else.
        """
        parts = need(data, "parts", "a predefined split")
        rows = np.arange(len(data))
        carver = self._carver(data)
        if np.issubdtype(parts.dtype, np.number):
            if not (parts >= 0).any():
                raise DataError(
                    "no fold holds out any row: all are -1", where="cv", hint="Number the folds from 0."
                )
            kept = rows if data.test_rows is None else np.setdiff1d(rows, data.test_rows)
            return make_splits(_folds(parts[kept]), kept, self.val_size, carver)
        strange = sorted({str(part) for part in parts} - set(_WORDS))
        if strange:
            raise DataError(
                f"a predefined split names {', '.join(strange[:3])}",
                where="cv",
                hint="Use train, val and test, or fold numbers.",
            )
        train, val, test = (np.flatnonzero(parts == word) for word in _WORDS)
        if not len(train):
            raise DataError(
                "a predefined split has no training rows: none of its words is train", where="dataset.split"
            )
        if len(val):
            return [Split(train, val, test)]
        return make_splits([(train, test)], rows, self.val_size, carver)

    def final_test(self, data: Data) -> np.ndarray:
        """The rows that the column calls test; with fold numbers, the dataset's own test rows."""
        parts = need(data, "parts", "a predefined split")
        if np.issubdtype(parts.dtype, np.number):
            return np.sort(data.test_rows) if data.test_rows is not None else np.arange(0)
        return np.flatnonzero(parts == "test")

    def _carver(self, data: Data) -> Carver:
        return by_default(data, self.seed, data.strata)


def _folds(numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in np.unique(numbers[numbers >= 0]):
        yield np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)

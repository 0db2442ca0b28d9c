"""Splits that are defined by a column of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import Carver, Seed, Share, by_default, make_splits, required_column
from dlcli.splits.split import Split

_WORDS = ("train", "val", "test")


@dataclass(frozen=True)
class Predefined:
    """Splits from a column: one by the words train, val and test, or one fold per number; -1 is always training.

    Attributes:
        val_size: share of the training rows used for validation if the column names none: of the groups if the data has
            groups, else the latest rows if it has times.
        seed: seed of the validation rows.
    """

    val_size: Share = 0.15
    seed: Seed = 0

    def splits(self, data: Data) -> list[Split]:
        """Return the splits defined by the column.

        Raises:
            DataError: the data has no such column, or the column has other values.
        """
        parts = required_column(data, "parts", "a predefined split")
        rows = np.arange(len(data))
        carver = self._carver(data)
        if np.issubdtype(parts.dtype, np.number):
            if not (parts >= 0).any():
                raise DataError(
                    "no fold holds out any row: all values are -1",
                    where="cv",
                    hint="Number the folds from 0.",
                )
            kept = rows if data.test_rows is None else np.setdiff1d(rows, data.test_rows)
            return make_splits(_folds(parts[kept]), kept, self.val_size, carver)
        unknown = sorted({str(part) for part in parts} - set(_WORDS))
        if unknown:
            raise DataError(
                f"the column of a predefined split contains {', '.join(unknown[:3])}",
                where="cv",
                hint="Use train, val and test, or fold numbers.",
            )
        train, val, test = (np.flatnonzero(parts == word) for word in _WORDS)
        if not len(train):
            raise DataError(
                "a predefined split has no training rows: the column never contains train",
                where="dataset.split",
            )
        if len(val):
            return [Split(train, val, test)]
        return make_splits([(train, test)], rows, self.val_size, carver)

    def final_test(self, data: Data) -> np.ndarray:
        """Return the rows marked test; with fold numbers, the dataset's own test rows."""
        parts = required_column(data, "parts", "a predefined split")
        if np.issubdtype(parts.dtype, np.number):
            return np.sort(data.test_rows) if data.test_rows is not None else np.arange(0)
        return np.flatnonzero(parts == "test")

    def _carver(self, data: Data) -> Carver:
        return by_default(data, self.seed, data.strata)


def _folds(numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in np.unique(numbers[numbers >= 0]):
        yield np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)

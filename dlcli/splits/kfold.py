"""K-fold cross-validation: plain, stratified, repeated."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import Carver, Seed, by_row, by_time
from dlcli.splits.folding import Folding, classes_of


@dataclass(frozen=True)
class KFold(Folding):
    """K-fold: each row is held out once per repeat; validation rows are carved off the others.

    Rows with a position in a text are not shuffled: the held-out rows of a fold are consecutive, and validation rows
    are the last of the others.

    Attributes:
        folds: number of folds.
        repeats: number of repetitions, each with another shuffling.
        shuffle: draw the folds at random instead of in row order.
        stratify: keep the class shares equal in all parts.
        test_size: share of all rows that are in no fold, for the final test of a refitted model.
        val_size: share of a fold's training rows used for validation.
        seed: seed of the splits.
    """

    folds: Annotated[int, Ge(2)] = 5
    repeats: Annotated[int, Ge(1)] = 1
    shuffle: bool = True
    stratify: bool = False
    seed: Seed = 0

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        shuffle = self.shuffle and not _consecutive(data)
        if self.repeats > 1 and not shuffle:
            raise DataError(
                "repeated folds without shuffling are all identical",
                where="cv.repeats",
                hint="Set cv.repeats=1." if self.shuffle else "Set cv.shuffle=true, or cv.repeats=1.",
            )
        strata = self._strata(data)
        with warnings.catch_warnings():
            # A class with fewer rows than folds is held out in only some folds, which is unavoidable.
            warnings.filterwarnings("ignore", "The least populated class")
            yield from self._splitter(shuffle).split(rows, strata[rows] if strata is not None else None)

    def _splitter(self, shuffle: bool) -> model_selection.BaseCrossValidator:
        seed = self.seed if shuffle else None
        if self.repeats > 1:
            repeated = (
                model_selection.RepeatedStratifiedKFold if self.stratify else model_selection.RepeatedKFold
            )
            return repeated(n_splits=self.folds, n_repeats=self.repeats, random_state=seed)
        plain = model_selection.StratifiedKFold if self.stratify else model_selection.KFold
        return plain(self.folds, shuffle=shuffle, random_state=seed)

    def _carver(self, data: Data) -> Carver:
        if _consecutive(data):
            return by_time(data)
        return by_row(self.seed, self._strata(data))

    def _strata(self, data: Data) -> np.ndarray | None:
        return classes_of(data, "kfold") if self.stratify else None


def _consecutive(data: Data) -> bool:
    """Return whether rows have a position in a text, of which each part is consecutive."""
    return data.order == "position" and data.times is not None

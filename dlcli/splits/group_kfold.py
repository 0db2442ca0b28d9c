"""K-fold cross-validation over groups: the rows of a group are held out together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, by_group, required_column
from dlcli.splits.folding import Folding, classes_of

_PURPOSE = "splitting by groups"


@dataclass(frozen=True)
class GroupKFold(Folding):
    """K-fold cross-validation over groups: each group is held out once, and no group is in two parts of a split.

    Attributes:
        folds: number of folds; None holds out one group at a time.
        stratify: also keep the class shares as equal as the groups allow.
        test_size: share of all groups that are in no fold, for the final test of a refitted model.
        val_size: share of a fold's training groups used for validation.
        seed: seed of the splits.
    """

    folds: Annotated[int, Ge(2)] | None = 5
    stratify: bool = False
    seed: Seed = 0

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        groups = required_column(data, "groups", _PURPOSE)
        strata = classes_of(data, "group_kfold")[rows] if self.stratify else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            yield from self._splitter().split(rows, strata, _codes(groups[rows]))

    def _splitter(self) -> model_selection.BaseCrossValidator:
        if self.folds is None:
            return model_selection.LeaveOneGroupOut()
        if self.stratify:
            return model_selection.StratifiedGroupKFold(self.folds, shuffle=True, random_state=self.seed)
        return model_selection.GroupKFold(self.folds, shuffle=True, random_state=self.seed)

    def _carver(self, data: Data) -> Carver:
        return by_group(required_column(data, "groups", _PURPOSE), self.seed)


def _codes(groups: np.ndarray) -> np.ndarray:
    """Return the groups as integers, since scikit-learn sorts them and rejects mixed objects."""
    return np.unique(groups, return_inverse=True)[1]

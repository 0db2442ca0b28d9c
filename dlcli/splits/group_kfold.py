"""K-fold over groups: rows that belong together are held out together."""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
from annotated_types import Ge
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.splits.carving import Carver, Share, by_group, make_splits, need, set_aside
from dlcli.splits.split import Split


class GroupKFold:
    """Each group is held out once; no group is in two parts of a split.

    Args:
        folds: how many parts; null holds out one group at a time.
        stratify: also keep the shares of the classes as equal as groups allow.
        test_size: share of all groups that no fold sees, for the final test of a refitted model.
        val_size: share of a fold's training groups that validates.
        seed: the splits' seed.
    """

    def __init__(
        self,
        folds: Annotated[int, Ge(2)] | None = 5,
        stratify: bool = False,
        test_size: Share = 0.0,
        val_size: Share = 0.15,
        seed: int = 0,
    ) -> None:
        self.folds = folds
        self.stratify = stratify
        self.test_size = test_size
        self.val_size = val_size
        self.seed = seed

    def splits(self, data: Data) -> list[Split]:
        """One split a fold.

        Raises:
            DataError: the data has no groups, fewer groups than folds, or no classes to stratify by.
        """
        groups = need(data, "groups", "splitting by groups")
        rows, _ = set_aside(data, self.test_size, self._carver(data))
        strata = data.strata if self.stratify else None
        if self.stratify and strata is None:
            raise DataError(
                f"{data.name} has no single class a row to stratify by",
                "cv.stratify",
                "Choose cv=group_kfold.",
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            folds = self._splitter().split(
                rows, strata[rows] if strata is not None else None, _codes(groups[rows])
            )
            return make_splits(folds, rows, self.val_size, self._carver(data))

    def final_test(self, data: Data) -> np.ndarray:
        """The dataset's own test rows, else a share `test_size` of the groups."""
        return set_aside(data, self.test_size, self._carver(data))[1]

    def _splitter(self) -> model_selection.BaseCrossValidator:
        if self.folds is None:
            return model_selection.LeaveOneGroupOut()
        if self.stratify:
            return model_selection.StratifiedGroupKFold(self.folds, shuffle=True, random_state=self.seed)
        return model_selection.GroupKFold(self.folds, shuffle=True, random_state=self.seed)

    def _carver(self, data: Data) -> Carver:
        return by_group(need(data, "groups", "splitting by groups"), self.seed)


def _codes(groups: np.ndarray) -> np.ndarray:
    """Groups as integers: scikit-learn sorts them, and takes no object of another kind."""
    return np.unique(groups, return_inverse=True)[1]

"""MySplit: a custom cross-validation strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from dlcli.datasets.data import Data
from dlcli.splits.split import Split


@dataclass(frozen=True)
class MySplit:
    """Several folds in row order: each n-th row is held out, and the row after it is a validation row.

    Attributes:
        folds: Number of folds.
    """

    folds: Annotated[int, Ge(3)] = 5

    def splits(self, data: Data) -> list[Split]:
        """Return the numbers of the training, validation and held-out rows of each fold."""
        place = np.arange(len(data)) % self.folds
        found = []
        for fold in range(self.folds):
            test, val = place == fold, place == (fold + 1) % self.folds
            found.append(Split(np.flatnonzero(~test & ~val), np.flatnonzero(val), np.flatnonzero(test)))
        return found

    def final_test(self, data: Data) -> np.ndarray:
        """Return the rows that are in no fold, for the final test of `cv.refit` and of a sweep; here none."""
        return np.array([], dtype=np.int64)

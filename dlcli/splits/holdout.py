"""Hold-out: one split into train, val and test."""

from __future__ import annotations

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Share, by_default, make_splits, set_aside
from dlcli.splits.split import Split


class Holdout:
    """One split: the final test rows, then validation rows out of the rest.

    A series is split in time: the test is its end. Groups stay whole, and shares are then shares of the groups.

    Args:
        test_size: share of all rows for the test, where the dataset has no test rows of its own.
        val_size: share of the remaining rows for validation, where the dataset has no validation rows of its own.
        stratify: keep the shares of the classes equal in all parts, where each row has one class; groups are drawn
            as they come.
        seed: the split's seed.
    """

    def __init__(
        self, test_size: Share = 0.2, val_size: Share = 0.15, stratify: bool = True, seed: int = 0
    ) -> None:
        self.test_size = test_size
        self.val_size = val_size
        self.stratify = stratify
        self.seed = seed

    def splits(self, data: Data) -> list[Split]:
        """The split.

        Raises:
            DataError: no row is left for training.
        """
        rest, test = set_aside(data, self.test_size, self._carver(data))
        if data.val_rows is not None:
            val = np.intersect1d(rest, data.val_rows)
            return [Split(np.setdiff1d(rest, val), val, test)]
        everything = np.arange(len(data))
        return make_splits([(rest, test)], everything, self.val_size, self._carver(data))

    def final_test(self, data: Data) -> np.ndarray:
        """The split's test rows."""
        return set_aside(data, self.test_size, self._carver(data))[1]

    def _carver(self, data: Data) -> Carver:
        return by_default(data, self.seed, data.strata if self.stratify else None)

"""Hold-out: one split into train, val and test."""

from __future__ import annotations

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, Share, by_default, make_splits, set_aside
from dlcli.splits.split import Split


class Holdout:
    """One split: the final test rows, then validation rows out of the rest.

    Groups stay whole, and shares are then shares of the groups. Rows that have times are split in time: the latest are
    the test, the latest of the rest validate, and shares are shares of the points in time, none of which is torn apart.
    So is a series, always. Rows that have both are drawn by groups.

    Args:
        test_size: share of all rows for the test, where the dataset has no test rows of its own.
        val_size: share of the remaining rows for validation, where the dataset has no validation rows of its own.
        by_time: split in time (true), or draw rows and groups though they have times (false); None goes by the data.
        stratify: keep the shares of the classes equal in all parts, where each row has one class; groups are drawn
            as they come, and times taken.
        seed: the split's seed.
    """

    def __init__(
        self,
        test_size: Share = 0.2,
        val_size: Share = 0.15,
        by_time: bool | None = None,
        stratify: bool = True,
        seed: Seed = 0,
    ) -> None:
        self.test_size = test_size
        self.val_size = val_size
        self.by_time = by_time
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
        return by_default(data, self.seed, data.strata if self.stratify else None, self.by_time)

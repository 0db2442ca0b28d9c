"""Hold-out: one split into training, validation and test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, Share, by_default, make_splits, set_aside
from dlcli.splits.split import Split


@dataclass(frozen=True)
class Holdout:
    """One split: the final test rows are set aside first, then validation rows are carved off the rest.

    Groups are kept together, and shares are shares of the groups. Rows with times and no groups are split in time: the
    latest rows are the test rows, the latest of the rest are the validation rows, and shares are shares of the points
    in time, each of which is kept together. Series are always split in time. Other rows with both times and groups are
    drawn by group.

    Attributes:
        test_size: share of all rows for the test, if the dataset has no test rows.
        val_size: share of the remaining rows for validation, if the dataset has no validation rows.
        by_time: whether to split in time (true), or to draw rows or groups even if they have times (false); None
            decides by the data.
        stratify: keep the class shares equal in all parts, if each row has one class. It has no effect on splits by
            group or in time.
        seed: seed of the split.
    """

    test_size: Share = 0.2
    val_size: Share = 0.15
    by_time: bool | None = None
    stratify: bool = True
    seed: Seed = 0

    def splits(self, data: Data) -> list[Split]:
        """Return the split.

        Raises:
            DataError: no row is left for training.
        """
        rest, test = set_aside(data, self.test_size, self._carver(data))
        if data.val_rows is not None:
            val = np.intersect1d(rest, data.val_rows)
            return [Split(np.setdiff1d(rest, val), val, test)]
        everything = np.arange(len(data))
        return make_splits([(rest, test)], everything, self.val_size, self._carver(data), data.reach)

    def final_test(self, data: Data) -> np.ndarray:
        """Return the split's test rows."""
        return set_aside(data, self.test_size, self._carver(data))[1]

    def _carver(self, data: Data) -> Carver:
        return by_default(data, self.seed, data.strata if self.stratify else None, self.by_time)

"""Leave-one-out: as many folds as rows."""

from __future__ import annotations

import numpy as np
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Share, by_row, make_splits, set_aside
from dlcli.splits.split import Split


class LeaveOneOut:
    """Each row is held out alone. Its folds' figures are those of one row: read the pooled predictions.

    Args:
        test_size: share of all rows that no fold sees, for the final test of a refitted model.
        val_size: share of a fold's training rows that validates.
        seed: of the final test rows and the validation rows.
    """

    def __init__(self, test_size: Share = 0.0, val_size: Share = 0.15, seed: int = 0) -> None:
        self.test_size = test_size
        self.val_size = val_size
        self.seed = seed

    def splits(self, data: Data) -> list[Split]:
        """One split a row.

        Raises:
            DataError: there is one row only.
        """
        rows, _ = set_aside(data, self.test_size, self._carver(data))
        return make_splits(model_selection.LeaveOneOut().split(rows), rows, self.val_size, self._carver(data))

    def final_test(self, data: Data) -> np.ndarray:
        """The dataset's own test rows, else a share `test_size`."""
        return set_aside(data, self.test_size, self._carver(data))[1]

    def _carver(self, data: Data) -> Carver:
        return by_row(self.seed, data.strata)

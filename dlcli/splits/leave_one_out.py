"""Leave-one-out: as many folds as rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, Share, by_row
from dlcli.splits.folding import Folding


class LeaveOneOut(Folding):
    """Leave-one-out: each row is held out alone.

    The metrics of a fold are those of a single row, so evaluate the pooled predictions instead.

    Args:
        test_size: share of all rows that are in no fold, for the final test of a refitted model.
        val_size: share of a fold's training rows used for validation.
        seed: seed of drawing the final test rows and the validation rows.
    """

    def __init__(self, test_size: Share = 0.0, val_size: Share = 0.15, seed: Seed = 0) -> None:
        self.test_size = test_size
        self.val_size = val_size
        self.seed = seed

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from model_selection.LeaveOneOut().split(rows)

    def _carver(self, data: Data) -> Carver:
        return by_row(self.seed, data.strata)

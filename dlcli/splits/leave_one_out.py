"""Leave-one-out: as many folds as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Seed, by_row
from dlcli.splits.folding import Folding


@dataclass(frozen=True)
class LeaveOneOut(Folding):
    """Leave-one-out: each row is held out alone.

    The metrics of a fold are those of a single row; use the pooled metrics over all folds instead.

    Attributes:
        test_size: share of all rows that are in no fold, for the final test of a refitted model.
        val_size: share of a fold's training rows used for validation.
        seed: seed of the final test rows and the validation rows.
    """

    seed: Seed = 0

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from model_selection.LeaveOneOut().split(rows)

    def _carver(self, data: Data) -> Carver:
        return by_row(self.seed, data.strata)

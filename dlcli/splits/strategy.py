"""The interface of cross-validation strategies."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.split import Split


class Strategy(Protocol):
    """Makes splits of the data; deterministic for given data and arguments."""

    def splits(self, data: Data) -> list[Split]:
        """Return one split per training run; the held-out rows of a fold are its `test`."""

    def final_test(self, data: Data) -> np.ndarray:
        """Return the sorted rows that a refitted model is tested on, which are in no fold except that of hold-out."""

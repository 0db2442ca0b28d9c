"""What every cross-validation strategy can do."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.split import Split


class Strategy(Protocol):
    """From data to splits. The same data and arguments give the same splits."""

    def splits(self, data: Data) -> list[Split]:
        """One split for each training; the held-out rows of a fold are its `test`."""

    def final_test(self, data: Data) -> np.ndarray:
        """Rows that a refitted model is tested on, sorted; no fold has any of them, but hold-out's only one."""

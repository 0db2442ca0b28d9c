"""Check whether a split is in temporal order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.split import Split


def in_time(data: Data, split: Split) -> bool:
    """Return whether the data has times, and the parts of the split follow each other in time."""
    return data.times is not None and goes_forward(data.times, split)


def goes_forward(times: np.ndarray, split: Split) -> bool:
    """Return whether training rows precede validation rows, and those precede test rows; one of `times` per row."""
    parts = [times[rows] for rows in (split.train, split.val, split.test) if len(rows)]
    return all(earlier.max() < later.min() for earlier, later in pairwise(parts))

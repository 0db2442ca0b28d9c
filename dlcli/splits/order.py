"""Whether a split goes forward in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dlcli.datasets.data import Data
from dlcli.splits.split import Split


def in_time(data: Data, split: Split) -> bool:
    """Whether the data has times, and every row that judges is later than all that came before it."""
    return data.times is not None and goes_forward(data.times, split)


def goes_forward(times: np.ndarray, split: Split) -> bool:
    """Whether what trains is earlier than what validates, and that is earlier than the test; `times` are one a row."""
    parts = [times[rows] for rows in (split.train, split.val, split.test) if len(rows)]
    return all(earlier.max() < later.min() for earlier, later in pairwise(parts))

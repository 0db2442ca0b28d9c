"""The epoch of a run's weights in its record, from 1 as everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping

BEST_EPOCH = "best/epoch"

# Earlier versions counted from 0, under another name, so that the two are never compared in MLflow.
_FROM_ZERO = "best_epoch"


def best_epoch(metrics: Mapping[str, float]) -> int | None:
    """Return the epoch, from 1, of the weights of a run with these metrics; None if it is not recorded."""
    found = metrics.get(BEST_EPOCH, metrics.get(_FROM_ZERO, math.nan) + 1)
    return int(found) if math.isfinite(found) and found >= 1 else None

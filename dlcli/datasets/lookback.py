"""How many steps of its past a forecast is based on, if the user leaves that open."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# Steps of the past for each step ahead, and seasons, that a lookback has at least: with a horizon of 96 hours it is two
# weeks, at which Zeng et al. (2023) and Nie et al. (2023) measure most models on hourly data.
_HORIZONS, _SEASONS, _LEAST = 3.5, 2, 8

# Horizons of a series that windows start from: two for validation and test, and some for training.
_KEPT = 4


class Lookback(NamedTuple):
    """A number of history steps, and why it was chosen."""

    steps: int
    reason: str


def choose_lookback(horizon: int, season: int, lengths: np.ndarray) -> Lookback:
    """Return a lookback from horizon, season and the lengths `(S,)` of the series.

    It is the smallest number of whole seasons that is at least 3.5 horizons and two seasons; less if most series would
    have too few windows, which depends on the number of their steps only, never on their values.
    """
    wanted = max(_HORIZONS * horizon, _SEASONS * season, _LEAST)
    steps = math.ceil(wanted / season) * season
    seasons = f", {steps // season} seasons of {season}" if season > 1 else ""
    # A tenth of the series may be too short.
    length = int(np.quantile(lengths, 0.1, method="lower"))
    most = max(length - _KEPT * horizon, (length - horizon) // 2, 1)
    if steps <= most:
        also = f" and {_SEASONS} seasons" if season > 1 else ""
        why = f"at least {_HORIZONS} times the horizon of {horizon}{also}"
        return Lookback(steps, f"lookback {steps}{seasons}: {why}")
    steps = most // season * season or most
    what = "the series has" if len(lengths) == 1 else "most series have no less than"
    return Lookback(steps, f"lookback {steps}: {what} {length:,} steps")

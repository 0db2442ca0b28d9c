"""The lookback of a forecast (its number of past steps), if the user does not set it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dlcli.formatting import counted

# Steps of the past for each step ahead, and seasons, that a lookback has at least: with a horizon of 96 hours it is two
# weeks, at which Zeng et al. (2023) and Nie et al. (2023) measure most models on hourly data.
_HORIZONS, _SEASONS, _LEAST = 3.5, 2, 8

# The longest lookback at which Nie et al. (2023) measure. Many models have a weight or a state for each step of it.
_MOST = 512

# Horizons of a series that windows start from: two for validation and test, and some for training.
_KEPT = 4

# With fewer training windows than these, a shorter past is better; `FEW_WINDOWS` is also where `train` warns.
FEW_WINDOWS = 32
# Share of the windows that a hold-out trains on, before those that reach into validation and test are left out.
_TRAINED = 0.68


class Lookback(NamedTuple):
    """A number of history steps, and why it was chosen."""

    steps: int
    reason: str


def choose_lookback(horizon: int, season: int, lengths: np.ndarray) -> Lookback:
    """Return a lookback from horizon, season and the lengths `(S,)` of the series.

    It is the smallest number of whole seasons that is at least 3.5 horizons and two seasons, but at most 512 steps, of
    which longer seasons are no part; less if most series would have too few windows, or if all together would leave
    fewer than 32 to train on, but not less than the horizon then. This depends on the number of their steps only, never
    on their values.
    """
    if season > _MOST:
        return _chosen(horizon, 1, lengths, f"; a season of {season:,} steps is too long for a lookback")
    return _chosen(horizon, season, lengths)


def _chosen(horizon: int, season: int, lengths: np.ndarray, more: str = "") -> Lookback:
    wanted = max(_HORIZONS * horizon, _SEASONS * season, _LEAST)
    steps = math.ceil(wanted / season) * season
    why = f"at least {_HORIZONS} times the horizon of {horizon}"
    why += f" and {_SEASONS} seasons" if season > 1 else ""
    if steps > _MOST:
        steps, why = _MOST // season * season, f"{why} would be {steps:,} steps, more than {_MOST}"
    # A tenth of the series may be too short.
    length = int(np.quantile(lengths, 0.1, method="lower"))
    most = max(length - _KEPT * horizon, (length - horizon) // 2, 1)
    length_decides = steps > most
    if length_decides:
        steps = most // season * season or most
        what = "the series has" if len(lengths) == 1 else "most series have no less than"
        why = f"{what} {length:,} steps"
    if (enough := _with_windows(steps, horizon, season, lengths)) < steps:
        left, before = (max(0, _windows(number, horizon, lengths)) for number in (enough, steps))
        why = f"it leaves about {left:,} windows to train on, and {steps} would leave about {before:,}"
        return Lookback(enough, f"lookback {enough}: {why}{more}")
    if length_decides:
        return Lookback(steps, f"lookback {steps}: {why}{more}")
    seasons = f", {counted(steps // season, 'season')} of {season}" if season > 1 else ""
    return Lookback(steps, f"lookback {steps}{seasons}: {why}{more}")


def _with_windows(steps: int, horizon: int, season: int, lengths: np.ndarray) -> int:
    """Return the largest number of steps, in whole seasons less, that leaves enough windows, or the least."""
    least = min(steps, math.ceil(horizon / season) * season)
    tried = range(steps, least - 1, -season)
    enough = (number for number in tried if _windows(number, horizon, lengths) >= FEW_WINDOWS)
    return next(enough, least)


def _windows(steps: int, horizon: int, lengths: np.ndarray) -> int:
    """Return about how many windows a hold-out trains on."""
    windows = np.maximum(lengths - steps - horizon + 1, 0)
    return int(np.maximum(_TRAINED * windows - 2 * (horizon - 1), 0).sum())

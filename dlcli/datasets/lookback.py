"""Choice of a forecast's lookback (its number of past steps), if the user does not set it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dlcli.formatting import counted

# Minimum lookback, in horizons and in seasons. For a horizon of 96 hours this is two weeks, the lookback at which Zeng
# et al. (2023) and Nie et al. (2023) evaluate most models on hourly data.
_HORIZONS, _SEASONS, _LEAST = 3.5, 2, 8

# The longest lookback that Nie et al. (2023) evaluate. Many models have a weight or a state for each of its steps.
MOST_STEPS = 512

# Number of horizons of a series in which windows start: two for validation and test, the others for training.
_KEPT = 4

# Below these numbers of training windows, a shorter lookback is better; below `FEW_WINDOWS`, `train` warns.
FEW_WINDOWS = 32
# Share of training windows in a hold-out, including those that extend into validation and test and are left out.
_TRAINED = 0.68


class Lookback(NamedTuple):
    """A number of past steps, and the reason for the choice."""

    steps: int
    reason: str


def choose_lookback(horizon: int, season: int, lengths: np.ndarray) -> Lookback:
    """Return the lookback for a horizon, a season and the lengths `(S,)` of the series.

    It is the smallest number of whole seasons that is at least 3.5 horizons and two seasons, and at most 512 steps;
    seasons longer than that are ignored. It is shorter if most series would have too few windows, or if all series
    together would leave fewer than 32 training windows, but then not shorter than the horizon. It depends on the
    lengths of the series, not on their values.
    """
    if season > MOST_STEPS:
        return _chosen(horizon, 1, lengths, f"; a season of {season:,} steps is too long for a lookback")
    return _chosen(horizon, season, lengths)


def _chosen(horizon: int, season: int, lengths: np.ndarray, more: str = "") -> Lookback:
    wanted = max(_HORIZONS * horizon, _SEASONS * season, _LEAST)
    steps = math.ceil(wanted / season) * season
    why = f"at least {_HORIZONS} times the horizon of {horizon}"
    why += f" and {_SEASONS} seasons" if season > 1 else ""
    if steps > MOST_STEPS:
        steps, why = MOST_STEPS // season * season, f"{why} would be {steps:,} steps, more than {MOST_STEPS}"
    # Allow a tenth of the series to be too short.
    length = int(np.quantile(lengths, 0.1, method="lower"))
    most = max(length - _KEPT * horizon, (length - horizon) // 2, 1)
    length_decides = steps > most
    if length_decides:
        steps = most // season * season or most
        what = "the series has" if len(lengths) == 1 else "most series have at least"
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
    """Return the largest lookback, reduced by whole seasons, that leaves enough windows, or else the minimum."""
    tried = shorter_lookbacks(steps, horizon, season)
    enough = (number for number in tried if _windows(number, horizon, lengths) >= FEW_WINDOWS)
    return next(enough, tried[-1])


def shorter_lookbacks(steps: int, horizon: int, season: int) -> range:
    """Return a lookback and those that are shorter by whole seasons, down to the horizon, rounded up to seasons."""
    season = 1 if season > MOST_STEPS else season
    least = min(steps, math.ceil(horizon / season) * season)
    return range(steps, least - 1, -season)


def _windows(steps: int, horizon: int, lengths: np.ndarray) -> int:
    """Return the approximate number of training windows of a hold-out."""
    windows = np.maximum(lengths - steps - horizon + 1, 0)
    return int(np.maximum(_TRAINED * windows - 2 * (horizon - 1), 0).sum())

"""Naive forecasts, the reference for every forecasting model (Hyndman and Koehler, 2006)."""

from __future__ import annotations

import numpy as np

from dlcli.datasets.windows import History


def naive_forecast(history: History, season: int = 1) -> np.ndarray:
    """Return the seasonal-naive forecast `(N, horizon, K)`: the last season, or for a season of 1 the last value.

    A row with less than one season of its own series before it repeats the last value.
    """
    steps = np.arange(history.horizon)
    origins = history.origins[:, None]
    behind = origins - history.stretches.begin(origins)
    ago = np.where(behind >= season, origins - season + steps % season, origins - 1)
    return history.values[ago, : history.targets]


def naive_error(history: History) -> np.ndarray:
    """Return the mean absolute error `(K,)` of the seasonal-naive one-step forecast, in the user's unit.

    The mean is over the steps that the rows cover, of all series together; NaN if they cover no more than a season.
    """
    covered, season = history.covered(), history.season
    stretch = history.stretches.of(np.arange(len(covered)))
    both = covered[season:] & covered[:-season] & (stretch[season:] == stretch[:-season])
    values = history.values[:, : history.targets]
    if not both.any():
        return np.full(history.targets, np.nan)
    return np.abs(values[season:] - values[:-season])[both].mean(axis=0)

"""Forecasts that need no model: what every forecast is measured by (Hyndman and Koehler, 2006)."""

from __future__ import annotations

import numpy as np

from dlcli.datasets.windows import History


def naive_forecast(history: History, season: int = 1) -> np.ndarray:
    """The last season again, step by step, `(N, horizon, K)`; with a season of 1, the last value.

    A row before which there is less than a season of its own series repeats the last value.
    """
    steps = np.arange(history.horizon)
    origins = history.origins[:, None]
    behind = origins - history.stretches.begin(origins)
    ago = np.where(behind >= season, origins - season + steps % season, origins - 1)
    return history.values[ago, : history.targets]


def naive_error(history: History) -> np.ndarray:
    """Mean absolute error of forecasting each step by the one a season before `(K,)`, in the user's unit.

    Over the steps that the rows cover, of all series together; NaN where they cover less than a season.
    """
    covered, season = history.covered(), history.season
    stretch = history.stretches.of(np.arange(len(covered)))
    both = covered[season:] & covered[:-season] & (stretch[season:] == stretch[:-season])
    values = history.values[:, : history.targets]
    if not both.any():
        return np.full(history.targets, np.nan)
    return np.abs(values[season:] - values[:-season])[both].mean(axis=0)

"""Facts about the training rows for the arguments of tasks: classes, means, error of the naive forecast."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from dlcli.datasets.array_targets import SHARES
from dlcli.datasets.data import Data, take
from dlcli.datasets.windows import History, SeriesRows, Windows


def target_facts(data: Data, train: np.ndarray) -> dict[str, Any]:
    """Return the facts, in plain types, that a task's arguments can name.

    Statistics are computed on the training rows `train` only.

    - `classes` and `class_counts`: class names, and the number of training rows of each class `(C,)`; for a multilabel
      target, the number of rows without and with each label `(K, 2)`; for masks, the number of training pixels `(C,)`,
      for boxes, that of boxes, and `typical_boxes` (see there);
    - `targets`, `target_mean`, `target_std`: for regression, per column `(K,)`, in the user's own unit; the deviation
      of a constant column is 1; `target_quantiles` are the quantiles at 0, 0.025, ..., 1, `(K, 41)`;
    - for tags, `class_counts` are numbers of words `(C,)`, `longest` is the number of words of the longest row of all
      data; `usual_words` are the training words whose most frequent tag is not that of most words, `usual_tags` their
      codes;
    - for answers as spans, `unanswerable`: whether there are questions without an answer;
    - for a forecast also `horizon`, `season`, `naive_error`, `naive_quantiles` (of that error with its sign, `(K,
      41)`), `several_series` and, if there are, `relative_quantiles`: the same in units of each series' own naive
      error; all statistics are computed over the steps of the series that the training rows cover, counting each step
      once;
    - for a text `characters`, `character_counts` and `pair_counts`.
    """
    if not isinstance(data.x, History):
        return data.targets_of_kind.facts(train, data.target_names)
    history = take(data.x, train)
    mean, std = history.scale()
    return {
        "targets": list(data.targets),
        "target_mean": mean[: history.targets].tolist(),
        "target_std": std[: history.targets].tolist(),
        "horizon": history.horizon,
        "season": history.season,
        "naive_error": naive_error(history).tolist(),
        "naive_quantiles": naive_quantiles(history).tolist(),
        "several_series": bool(history.stretches.names),
        "relative_quantiles": relative_quantiles(history).tolist() if history.stretches.names else None,
    }


def naive_forecast(history: History, season: int = 1) -> np.ndarray:
    """Return the seasonal-naive forecast `(N, horizon, K)`: the last season, or for a season of 1 the last value.

    A row preceded by less than one season of its own series repeats the last value.
    """
    steps = np.arange(history.horizon)
    origins = history.origins[:, None]
    behind = origins - history.stretches.begin(origins)
    ago = np.where(behind >= season, origins - season + steps % season, origins - 1)
    return history.values[ago, : history.targets]


def naive_error(history: History) -> np.ndarray:
    """Return the mean absolute error `(K,)` of the seasonal-naive one-step forecast, in the user's unit.

    The mean is over the steps covered by the rows, pooled over all series; NaN if they cover at most one season.
    """
    changes, _ = _seasonal_changes(history)
    return np.abs(changes).mean(axis=0) if len(changes) else np.full(history.targets, np.nan)


def naive_quantiles(history: History) -> np.ndarray:
    """Return quantiles `(K, 41)` of the change from one season to the next over the steps covered by the rows.

    Levels are 0, 0.025, ..., 1; quantiles are 0 if the rows cover at most one season.
    """
    changes, _ = _seasonal_changes(history)
    return np.stack([_quantiles(column) for column in changes.T])


def relative_quantiles(history: History) -> np.ndarray:
    """Return quantiles `(K, 41)` like `naive_quantiles`, with changes divided by the mean absolute change of their
    series.

    Absolute quantiles would be much too wide for small series and too narrow for large ones.
    """
    changes, stretches = _seasonal_changes(history)
    counts = np.bincount(stretches, minlength=len(history.stretches.begins))
    found = []
    for column in changes.T:
        sizes = np.bincount(stretches, np.abs(column), len(counts)) / np.maximum(counts, 1)
        units = sizes[stretches]
        found.append(_quantiles(column[units > 0] / units[units > 0]))
    return np.stack(found)


def _quantiles(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, SHARES) if len(values) else np.zeros(len(SHARES))


def _seasonal_changes(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences `(M, K)` between covered steps and those one season earlier that are also covered.

    The second array is the stretch index of each difference, `(M,)`.
    """
    covered, season = history.covered(), history.season
    stretch = history.stretches.of(np.arange(len(covered)))
    both = covered[season:] & covered[:-season] & (stretch[season:] == stretch[:-season])
    values = history.values[:, : history.targets]
    return (values[season:] - values[:-season])[both], stretch[season:][both]


def naive_error_before(y: SeriesRows, season: int) -> np.ndarray:
    """Return for each row the mean absolute seasonal-naive one-step error of its series before the forecast `(N, K)`.

    It uses only the steps before the row's first forecast step; NaN if these are at most one season.
    """
    changes = np.zeros(y.values.shape)
    changes[season:] = np.abs(y.values[season:] - y.values[:-season])
    return _mean_before(y, changes, skipped=season)


def level_before(y: Windows) -> np.ndarray:
    """Return for each row the mean absolute value of its series over all steps before the forecast `(N, K)`."""
    return _mean_before(y, np.abs(y.values))


def _mean_before(y: SeriesRows, values: np.ndarray, skipped: int = 0) -> np.ndarray:
    """Return the means of `values` `(T, K)` from the start of each row's series (without `skipped` steps) to
    its origin."""
    # Cumulative sums within each stretch: differences of sums over all stretches would round away the values of series
    # that are small compared with others.
    totals = np.zeros(values.shape)
    begins = y.stretches.begins.tolist()
    for begin, end in pairwise([*begins, len(values)]):
        first = min(begin + skipped, end - 1)
        totals[first + 1 : end] = values[first : end - 1].cumsum(axis=0)
    steps = (y.origins - y.stretches.begin(y.origins) - skipped)[:, None]
    return np.where(steps > 0, totals[y.origins] / np.maximum(steps, 1), np.nan)

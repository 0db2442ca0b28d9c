"""Target facts that tasks and losses are built from: names, and statistics of the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcli.datasets.data import Data, take
from dlcli.statistics.deviation import deviations
from dlcli.tasks.naive import naive_error

# Steps of 0.025 resolve the usual prediction intervals, up to 95 %.
_SHARES = np.linspace(0, 1, 41)


def target_facts(data: Data, train: np.ndarray) -> dict[str, Any]:
    """Return the facts, in plain types, that a task's parameters can ask for by name.

    Statistics are computed on the training rows `train` only.

    - `classes` and `class_counts`: class names, and the number of training rows of each class `(C,)`; for a multilabel
      target, the number of rows without and with each label `(K, 2)`;
    - `targets`, `target_mean`, `target_std`: for regression, per column `(K,)`, in the user's own unit; the deviation
      of a constant column is 1; `target_quantiles` are the quantiles at 0, 0.025, ..., 1, `(K, 41)`;
    - for a forecast also `horizon`, `season` and `naive_error`; all statistics are computed over the steps of the
      series that the training rows cover, counting each step once.
    """
    if data.target_kind == "forecast":
        history = take(data.x, train)
        mean, std = history.scale()
        return {
            "targets": list(data.targets),
            "target_mean": mean[: history.targets].tolist(),
            "target_std": std[: history.targets].tolist(),
            "horizon": history.horizon,
            "season": history.season,
            "naive_error": naive_error(history).tolist(),
        }
    y = data.y[train]
    if data.target_kind == "regression":
        columns = y.reshape(len(y), -1).astype(np.float64)
        return {
            "targets": list(data.targets),
            "target_mean": columns.mean(axis=0).tolist(),
            "target_std": deviations(columns).tolist(),
            "target_quantiles": np.quantile(columns, _SHARES, axis=0).T.tolist(),
        }
    if data.target_kind == "multilabel":
        present = y.sum(axis=0)
        counts = np.stack([len(y) - present, present], axis=1)
    else:
        counts = np.bincount(y, minlength=len(data.classes))
    return {"classes": list(data.classes), "class_counts": counts.tolist()}

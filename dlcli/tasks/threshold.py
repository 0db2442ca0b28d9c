"""Tune the decision threshold of a binary classification on validation rows."""

from __future__ import annotations

from typing import Literal

import numpy as np

Tunable = Literal["accuracy", "balanced_accuracy", "f1"]


def untuned(name: str) -> str:
    """Return the name of a metric at the default threshold, for tasks with a tuned one."""
    return f"{name}_untuned"


def best_threshold(
    probabilities: np.ndarray, hits: np.ndarray, metric: Tunable, default: float = 0.5
) -> float | None:
    """Return the threshold of the positive class that maximizes a metric on these rows.

    All thresholds that lead to different decisions on these rows are tried, each halfway between the probabilities of
    two rows. The default is kept if none is better; else the best threshold nearest to it is returned.

    Args:
        probabilities: probabilities of the positive class `(N,)`.
        hits: targets, 0 and 1, `(N,)`.
        metric: the metric to maximize.
        default: the threshold to keep, or to stay near.

    Returns:
        The threshold; None if all rows have the same class, so that there is no information about it.
    """
    order = np.argsort(-probabilities, kind="stable")
    p, y = probabilities[order].astype(np.float64), hits[order].astype(np.int64)
    positives, negatives = int(y.sum()), int((1 - y).sum())
    if positives == 0 or negatives == 0:
        return None
    # A cut at i predicts the positive class for the first i rows; it must not separate rows of equal probability.
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(p)) + 1, [len(p)]])
    tp = np.concatenate([[0], np.cumsum(y)])[cuts]
    fp = cuts - tp
    fn, tn = positives - tp, negatives - fp
    value = {
        "accuracy": (tp + tn) / len(p),
        "balanced_accuracy": (tp / positives + tn / negatives) / 2,
        "f1": 2 * tp / (2 * tp + fp + fn),
    }[metric]
    bounds = np.concatenate([[1.0], p, [0.0]])
    above, below = bounds[cuts], bounds[cuts + 1]
    # Values that differ only by rounding are equally good.
    good = value >= value.max() - 1e-12
    if (good & (below <= default) & (default < above)).any():
        return default
    thresholds = ((above + below) / 2)[good]
    return float(thresholds[np.abs(thresholds - default).argmin()])

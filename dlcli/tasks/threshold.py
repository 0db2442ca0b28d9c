"""The decision threshold of a yes or no, chosen on validation rows."""

from __future__ import annotations

from typing import Literal

import numpy as np

Tunable = Literal["accuracy", "balanced_accuracy", "f1"]


def untuned(name: str) -> str:
    """A metric's name at the default threshold, where another one was found."""
    return f"{name}_untuned"


def best_threshold(
    probabilities: np.ndarray, hits: np.ndarray, metric: Tunable, default: float = 0.5
) -> float | None:
    """The threshold above which "yes" is best said, for one metric on these rows.

    Every decision that these rows can tell apart is tried. The default stays where it is as good as any; else the
    best one that is nearest to it is taken, halfway between two rows' probabilities.

    Args:
        probabilities: of "yes", `(N,)`.
        hits: 0 and 1, `(N,)`.
        metric: what is to be as high as possible.
        default: the threshold to keep, or to stay near.

    Returns:
        The threshold; None where the rows are all of one class, and nothing can be learnt from them.
    """
    order = np.argsort(-probabilities, kind="stable")
    p, y = probabilities[order].astype(np.float64), hits[order].astype(np.int64)
    positives, negatives = int(y.sum()), int((1 - y).sum())
    if positives == 0 or negatives == 0:
        return None
    # Cut i says yes to the first i rows; it must not part rows of the same probability.
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
    # Figures that differ by rounding alone are equally good.
    good = value >= value.max() - 1e-12
    if (good & (below <= default) & (default < above)).any():
        return default
    thresholds = ((above + below) / 2)[good]
    return float(thresholds[np.abs(thresholds - default).argmin()])

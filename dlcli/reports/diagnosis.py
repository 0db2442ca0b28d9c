"""Diagnose a learning curve in one sentence: overfitting, underfitting, still improving, fine or too short to say.

The rules are heuristics on the loss (Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 5.2). A
validation loss that rises while the training loss falls means overfitting; a training loss that hardly falls means
underfitting. A change counts if it is large relative to the loss and relative to the total improvement, so that noise
near zero is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

ENOUGH_EPOCHS = 5


def diagnose(history: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return a sentence about `train/loss` and `val/loss` with the values that it is based on (epochs from 1)."""
    train, val = dict(history.get("train/loss", ())), dict(history.get("val/loss", ()))
    for name, losses in (("train", train), ("val", val)):
        broken = [epoch for epoch, loss in losses.items() if not math.isfinite(loss)]
        if broken:
            return (
                f"{name} loss stopped being a finite number at epoch {min(broken) + 1}: training diverged; "
                "try a lower learning rate or gradient clipping."
            )
    epochs = sorted(train.keys() & val.keys())
    if not epochs:
        return "Over- or underfitting cannot be diagnosed without both train loss and val loss."
    t, v = [train[epoch] for epoch in epochs], [val[epoch] for epoch in epochs]
    if len(epochs) < ENOUGH_EPOCHS:
        went = f"went from {_n(v[0])} to {_n(v[-1])}" if len(v) > 1 else f"is {_n(v[0])}"
        return f"After {_count(len(epochs))} it is too short to say: val loss {went}."
    best = v.index(min(v))
    gained = max(v) - v[best]
    best_text = f"val loss was lowest at epoch {epochs[best] + 1} ({_n(v[best])})"

    # The final value is the mean of up to three values after the best epoch, because one bad epoch is not a trend.
    tail = v[max(best + 1, len(v) - 3) :]
    end = sum(tail) / len(tail) if tail else v[best]
    rise = end - v[best]
    if len(v) - 1 - best >= 2 and rise > 0.1 * abs(v[best]) and rise > 0.01 * gained and t[-1] < t[best]:
        return (
            f"{best_text} and has risen to {_n(end)} while train loss fell to {_n(t[-1])}: "
            "overfitting; fewer epochs, more data, augmentation, dropout or weight decay help."
        )
    fallen = t[0] - min(t)
    if fallen < 0.05 * abs(t[0]) and not _metric_is_high(history):
        return (
            f"train loss has hardly fallen, from {_n(t[0])} to {_n(min(t))}, and val loss ends at "
            f"{_n(v[-1])}: underfitting; try another learning rate, a larger model or more epochs."
        )
    window = max(2, len(v) // 4)
    before = min(v[:-window])
    if best >= len(v) - 2 and before - v[best] > 0.03 * abs(before) and before - v[best] > 0.005 * gained:
        return (
            f"val loss still fell in the last {window} epochs, from {_n(before)} to {_n(v[best])}: "
            "still improving; more epochs should help."
        )
    gap = v[-1] - t[-1]
    if gap > 0.5 * abs(v[-1]) and gap > 0.1 * gained:
        return (
            f"{best_text} and no longer improves, far above train loss ({_n(t[-1])}): "
            "some overfitting; more data, augmentation, dropout or weight decay may help."
        )
    settled = f"{best_text} and ends at {_n(v[-1])}, with train loss at {_n(t[-1])}"
    return f"{settled}: no sign of over- or underfitting."


def _metric_is_high(history: Mapping[str, Sequence[tuple[int, float]]]) -> bool:
    # A model may fit easy data within the first epoch. Its loss then hardly falls, which is not underfitting.
    return any(
        bool(pairs) and pairs[-1][1] > 0.9
        for name in ("accuracy", "f1", "auroc", "r2")
        for pairs in [history.get(f"val/{name}", ())]
    )


def _n(value: float) -> str:
    return f"{value:.3g}"


def _count(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"

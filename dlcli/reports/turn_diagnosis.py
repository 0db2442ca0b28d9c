"""Diagnose the training of a GAN: mode collapse, a dominating discriminator, a rising or still falling distance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

# Minimum number of epochs for a diagnosis.
_ENOUGH = 3

# Mode collapse: fewer than this share of the previously covered classes are covered.
_COVERED = 0.8

# Mode collapse: the variance of images of a class is less than this share of that of real ones.
_COLLAPSED = 0.2

# Loss below which a discriminator dominates; random guessing gives 2 (hinge) or 1.39 (bce).
_WON = 0.1

# The distance has risen if its mean over the last epochs exceeds the lowest one by this factor.
_RISEN = 1.5


def diagnose_turns(history: Mapping[str, Sequence[tuple[int, float]]], max_epochs: int | None = None) -> str:
    """Return a sentence on the training of parts in turns, with the values that support it (epochs from 1)."""
    values = {name: [value for _, value in pairs] for name, pairs in history.items()}
    distance = values.get("val/frechet", [])
    epochs = max(map(len, values.values()), default=0)
    if epochs < _ENOUGH:
        shown = f": val/frechet is {distance[-1]:.3g}" if distance else ""
        return f"Too short for a diagnosis after {epochs} epochs{shown}."
    if not any(map(math.isfinite, distance)):
        what = "is NaN in all epochs" if distance else "was not computed"
        return f"val/frechet {what}: there is no diagnosis of the images."
    last = max(1, len(distance) // 5)
    end = fmean(distance[-last:])
    best = min(range(len(distance)), key=lambda epoch: _finite(distance[epoch]))
    diversity = fmean(values.get("val/diversity", [math.nan])[-last:])
    covered = values.get("val/modes", [math.nan])
    modes = fmean(covered[-last:])
    discriminator = fmean(values.get("train/discriminator_loss", [math.nan])[-last:])
    lowest = f"val/frechet was lowest at epoch {best + 1} ({distance[best]:.3g})"
    if diversity < _COLLAPSED:
        return (
            f"The images of a class vary {diversity:.2g} times as much as real ones: mode collapse; {lowest}. Try a "
            "lower optimizer.lr, larger batches or another seed."
        )
    if modes < _COVERED * max(covered):
        return (
            f"The images cover {modes:.3g} classes, after {max(covered):.3g}: mode collapse; {lowest}. Try a lower "
            "optimizer.lr, larger batches or another seed."
        )
    if discriminator < _WON:
        return (
            "The discriminator almost always distinguishes generated images from real ones "
            f"(loss {discriminator:.2g}); the generator learns little from it; {lowest}. "
            "Try model.discriminator_lr=0.5."
        )
    if not math.isfinite(end):
        return f"{lowest} and is NaN at the end: the two networks diverge. The best epoch is saved."
    if end > _RISEN * distance[best] and best < len(distance) - 1 - last:
        return (
            f"{lowest} and has risen to {end:.3g}: the two networks diverge. The best epoch is saved; a lower "
            "optimizer.lr or weight_averaging=ema may help."
        )
    if best >= len(distance) - last and len(distance) == max_epochs:
        return f"{lowest}, stopped by max_epochs, still falling; more epochs should help."
    seen = [] if math.isnan(diversity) and math.isnan(modes) else ["mode collapse"]
    seen += [] if math.isnan(discriminator) else ["a discriminator that wins"]
    return f"{lowest} and ends at {end:.3g}{': no sign of ' if seen else ''}{', or of '.join(seen)}."


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf

"""Diagnose a learning curve: converged, still falling, overfitting, underfitting, diverged or too short.

The validation loss is treated as a curve with noise (Prechelt, "Early Stopping - But When?", 1998): the position of its
minimum, and whether it rises afterwards or still falls at the end, by more than its noise. The noise is estimated from
second differences of consecutive epochs, in which a trend cancels (Gasser, Sroka and Jennen-Steinmetz, "Residual
variance and residual pattern in nonlinear regression", 1986). A smooth curve of few validation rows may rise by chance
as well, since other rows would have another curve: a rise, or a distance from the training loss, also has to exceed its
standard error over the rows (`dlcli/training/row_noise.py`), as does a fall. The bounds are calibrated on generated
curves with known truth (`tests/reports/test_diagnosis.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from dlcli.config.pasted import pasted
from dlcli.reports.turn_diagnosis import diagnose_turns

# Names of the metrics of an epoch that hold standard errors of the validation loss, of its rise and of its fall.
LOSS_SE, RISE_SE, FALL_SE = "val_loss_se", "val_loss_rise_se", "val_loss_fall_se"

ENOUGH_EPOCHS = 5

Finding = Literal["converged", "falling", "overfitting", "underfitting", "diverging"]

# A change is significant if it exceeds the noise by this factor, and this share of the loss.
_DEVIATIONS = 3.0
_SHARE = 0.02

# A change of fewer standard errors over the rows may be chance (one-sided: 2.5 %).
_ERRORS = 2.0

# The training loss has hardly fallen if it fell by less than this share.
_HARDLY = 0.05

# A fall is also significant if it exceeds this share of the total decrease: a loss that falls steadily from 2.3 to 2.15
# within 20 epochs loses less than 2 % in the last ones.
_STEADY = 0.05

# A decrease by less than this share of the total decrease is ignored: for separable classes the loss never stops
# falling, such as from 0.0003 to 0.00025 after 0.58 (penguins).
_OF_ALL = 0.001

# The val loss is hardly below that of a constant prediction if it is lower by less than the first share. Up to the
# second share, the curve does not show whether a model has learned all that noisy or imbalanced rows allow (a log loss
# of 0.51 after 0.611) or only a part (eight layers of sigmoids on the digits: 1.8 after 2.3, accuracy 0.2): then only
# the share is reported.
_NOTHING, _LITTLE = 0.05, 0.25

# The training loss is far below the validation loss if the gap exceeds this share of the validation loss, and this
# share of its total decrease. The first run of the README has 0.83 and 0.07.
_FAR_BELOW, _OF_THE_GAIN = 0.5, 0.05

# If the validation loss is this multiple of the training loss, the rows have been memorized. Neither the distance nor a
# rise by this share is then due to chance, although a few rows that are predicted wrongly with certainty make their
# standard errors large.
_MEMORIZED, _RISEN = 8.0, 0.1

# The distance was there before anything could be memorized if the ratio of the losses was this share of the last one in
# the second epoch (in the first one, the mean over its steps includes the untrained network). ETTh1 has 0.98, since its
# validation rows are later ones; the first run of the README has 0.08.
_EARLY = 0.8

History = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True)
class Judgement:
    """The diagnosis of a learning curve.

    Attributes:
        finding: the verdict.
        best: position of the lowest validation loss.
        end: mean of the last `averaged` validation losses.
        averaged: number of losses in the mean.
        doubtful: whether the validation loss has risen since its minimum, or fallen at the end, by no more than chance
            explains for so few rows; None if it has not.
    """

    finding: Finding
    best: int
    end: float
    averaged: int
    doubtful: Literal["rise", "fall"] | None = None


def diagnose(
    history: History,
    max_epochs: int | None = None,
    baseline: float | None = None,
    *,
    linear: str = "linear",
    solved_head: bool = False,
) -> str:
    """Return a sentence on `train/loss` and `val/loss` with the values that support it (epochs from 1).

    Args:
        history: name of a metric to (epoch, value) pairs.
        max_epochs: the limit of the run; None if there is none.
        baseline: the val loss of a constant prediction; None if it is unknown.
        linear: the linear model for the task, with which a model that hardly learns can be compared; empty: none.
        solved_head: whether a linear head was solved on a frozen backbone, without steps.
    """
    train, val = dict(history.get("train/loss", ())), dict(history.get("val/loss", ()))
    for name, losses in (("train", train), ("val", val)):
        broken = [epoch for epoch, loss in losses.items() if not math.isfinite(loss)]
        if broken:
            return (
                f"{name} loss is not finite from epoch {min(broken) + 1} on: training diverged; "
                "try a lower learning rate or gradient clipping."
            )
    if any(name.startswith("train/") and name.endswith("_gradient_norm") for name in history):
        return diagnose_turns(history, max_epochs)
    epochs = sorted(train.keys() & val.keys())
    if not epochs:
        return "Over- or underfitting cannot be diagnosed without both train loss and val loss."
    t, v = [train[epoch] for epoch in epochs], [val[epoch] for epoch in epochs]
    if penalties := dict(history.get("penalty", ())):
        return _path(v, [penalties.get(epoch, math.nan) for epoch in epochs], max_epochs)
    if iterations := dict(history.get("iterations", ())):
        return _trees(t, v, [int(iterations.get(epoch, 0)) for epoch in epochs], max_epochs)
    if solved_head and len(epochs) == 1:
        return (
            "The head was solved exactly, without epochs of steps, so there is no learning curve to diagnose: "
            f"train loss {_n(t[0])}, val loss {_n(v[0])}."
        )
    if len(epochs) < ENOUGH_EPOCHS:
        went = f"went from {_n(v[0])} to {_n(v[-1])}" if len(v) > 1 else f"is {_n(v[0])}"
        return f"Too short for a diagnosis after {_count(len(epochs))}: val loss {went}."
    rise_se, fall_se, loss_se = (
        dict(history.get(name, ())).get(epochs[-1], 0.0) for name in (RISE_SE, FALL_SE, LOSS_SE)
    )
    found = judge(t, v, fits=_metric_is_high(history), rise_se=rise_se, fall_se=fall_se)
    lowest = f"val loss was lowest at epoch {epochs[found.best] + 1} ({_n(v[found.best])})"
    if found.best == len(v) - 1 and len(v) == max_epochs:
        lowest += ", the last one that max_epochs allows,"
    end = (
        _n(v[-1]) if found.averaged == 1 else f"{_n(found.end)}, the mean of the last {found.averaged} epochs"
    )
    match found.finding:
        case "diverging":
            return (
                f"val loss has risen from {_n(v[0])} to {_n(v[-1])}, and train loss from {_n(min(t))} to {_n(t[-1])}: "
                "diverging; try a lower learning rate or gradient clipping."
            )
        case "underfitting":
            return (
                f"train loss has hardly fallen, from {_n(t[0])} to {_n(min(t))}, and val loss ends at "
                f"{_n(v[-1])}: underfitting; try another learning rate, a larger model or more epochs."
            )
        case "overfitting":
            few = (
                f" (the rise has a standard error of {_n(rise_se)} over so few rows)"
                if found.doubtful
                else ""
            )
            return (
                f"{lowest} and has risen to {end}{few}, while train loss fell to {_n(t[-1])}: "
                "overfitting; fewer epochs, more data, augmentation, dropout or weight decay help."
            )
        case "falling":
            stopped = len(v) == max_epochs
            how = "stopped by max_epochs, still falling" if stopped else "still falling where it ended"
            before = v[-1 - found.averaged]
            return (
                f"val loss fell from {_n(before)} to {_n(v[-1])} in the last {_count(found.averaged)}, train loss to "
                f"{_n(t[-1])}: {how}; more epochs should help."
            )
    settled = f"{lowest} and ends at {end}, with train loss at {_n(t[-1])}"
    if found.doubtful:
        se = rise_se if found.doubtful == "rise" else fall_se
        settled += (
            f" (other validation rows might not show the {found.doubtful}: its standard error is {_n(se)})"
        )
    gap, doubtful = v[-1] - t[-1], found.doubtful is not None
    if gap > max(_FAR_BELOW * abs(v[-1]), _OF_THE_GAIN * (max(v) - min(v))):
        if min(*t, *v) > 0 and v[1] / t[1] >= _EARLY * v[-1] / t[-1]:
            return (
                f"{settled}: val loss no longer falls, far above train loss since the first epochs: the validation "
                "rows differ from the training rows, as in a split by time, rather than overfitting."
            )
        is_sure = gap > _ERRORS * loss_se
        few = f" (with a standard error of {_n(loss_se)} over so few rows)"
        if is_sure or _is_memorized(t, v):
            settled += "" if is_sure or doubtful else few
            return (
                f"{settled}: val loss no longer falls, far above train loss: some overfitting; more data, "
                "augmentation, dropout or weight decay may help."
            )
        settled += f" (val loss is far above it, but has a standard error of {_n(loss_se)} over so few rows)"
        doubtful = True
    accuracy = dict(history.get("val/accuracy", ())).get(epochs[found.best])
    return f"{settled}: {_converged(v, baseline, accuracy, doubtful, linear)}"


def _converged(
    v: Sequence[float], baseline: float | None, accuracy: float | None, doubtful: bool, linear: str
) -> str:
    """Return the verdict on losses that no longer fall, with their distance from a constant prediction if it is small.

    It is small if a network does not learn, or if the inputs contain little information on the target; the curve does
    not distinguish these.
    """
    verdict = f"converged, no {'certain ' if doubtful else ''}sign of over- or underfitting"
    if baseline is None or not (math.isfinite(baseline) and baseline > 0):
        return f"{verdict}."
    share = 1 - min(v) / baseline
    constant = f"the {_n(baseline)} of a constant prediction"
    if share >= _LITTLE:
        return f"{verdict}."
    if share >= _NOTHING:
        right = "" if accuracy is None else f", accuracy {_n(accuracy)}"
        others = f"{pasted('model', linear)} and another learning rate" if linear else "another learning rate"
        return f"{verdict}. It is {share:.0%} below {constant}{right}; compare with {others}."
    compared = f", and compare with {pasted('model', linear)}" if linear else ""
    below = f"is only {share:.1%} below" if share > 0 else "never fell below"
    return (
        f"it no longer falls, but {below} {constant}: the model does not learn, or the inputs contain little "
        f"information on the target; try another learning rate{compared}."
    )


def judge(
    t: Sequence[float], v: Sequence[float], *, fits: bool = False, rise_se: float = 0.0, fall_se: float = 0.0
) -> Judgement:
    """Return the diagnosis of the losses of at least `ENOUGH_EPOCHS` epochs.

    Args:
        t: training losses.
        v: validation losses.
        fits: whether the model fits the data, so that a training loss that hardly falls is not underfitting.
        rise_se: standard error over the validation rows of the rise of the validation loss since its minimum.
        fall_se: standard error over the validation rows of its fall in the last epochs.
    """
    best = min(range(len(v)), key=v.__getitem__)
    noise = noise_of(v[len(v) // 3 :] if len(v) >= 9 else v)
    averaged = max(1, min(5, len(v) - 1 - best, len(v) // 4))
    end = fmean(v[-averaged:])

    # The lowest of several losses is partly low by chance, so the level around it is compared.
    level = fmean(v[max(0, best - 1) : best + 2])
    rise = end - level
    doubt = _DEVIATIONS * noise * math.sqrt(1 / averaged + 1 / 3)
    rises = len(v) - 1 - best >= 2 and rise > max(doubt, _SHARE * abs(level))
    is_sure = rise > _ERRORS * rise_se
    has_risen = rises and (is_sure or (_is_memorized(t, v) and rise > _RISEN * abs(level)))

    trained = noise_of(t[len(t) // 3 :] if len(t) >= 9 else t)
    if has_risen and t[-1] - min(t) > max(_DEVIATIONS * trained, 0.5 * abs(min(t))) and v[-1] > v[0]:
        return Judgement("diverging", best, end, averaged)
    if t[0] - min(t) < _HARDLY * abs(t[0]) and not fits:
        return Judgement("underfitting", best, end, averaged)
    if has_risen and fmean(t[-averaged:]) <= fmean(t[max(0, best - 1) : best + 2]):
        return Judgement("overfitting", best, end, averaged, None if is_sure else "rise")

    half = last_epochs(len(v))
    fall, falls = _fall(v, half, noise)
    falls = falls and best >= len(v) - max(
        2, (half + 1) // 2
    )  # otherwise it has levelled off within these epochs
    # If the training loss still falls as it did before, and the last epoch is the best one, a fall is no chance.
    both = best == len(v) - 1 and _fall(t, half, trained)[0] > _STEADY * (max(t) - min(t))
    if falls and (fall > _ERRORS * fall_se or both):
        return Judgement("falling", best, end, half)
    doubtful: Literal["rise", "fall"] | None = (
        "fall" if falls else "rise" if rises and not has_risen else None
    )
    return Judgement("converged", best, end, averaged, doubtful)


def _fall(losses: Sequence[float], half: int, noise: float) -> tuple[float, bool]:
    """Return by how much a loss fell in the last `half` epochs, and whether that is more than noise and negligible."""
    now, before = fmean(losses[-half:]), fmean(losses[-2 * half : -half])
    gain = max(losses) - min(losses)
    least = max(min(_SHARE * abs(now), _STEADY * gain), _OF_ALL * gain)
    return before - now, before - now > max(_DEVIATIONS * noise * math.sqrt(2 / half), least)


def _is_memorized(t: Sequence[float], v: Sequence[float]) -> bool:
    """Return whether the training loss has become negligible beside the validation loss."""
    return min(*t, *v) >= 0 and v[-1] > _MEMORIZED * t[-1]


def last_epochs(epochs: int) -> int:
    """Return how many of the last epochs are compared with as many before them, to find whether a loss still falls."""
    return max(2, epochs // 6)


def noise_of(losses: Sequence[float]) -> float:
    """Return the standard deviation of the noise of a smooth curve, from its second differences.

    Second differences have 6 times the variance of independent noise. Their median is robust against single jumps;
    0.6745 is the median of the absolute value of a standard normal variable.
    """
    seconds = [abs(a - 2 * b + c) for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    return median(seconds) / (0.6745 * math.sqrt(6)) if seconds else 0.0


def _path(v: Sequence[float], penalties: Sequence[float], max_epochs: int | None) -> str:
    """Return the sentence on a model with a solution for one penalty per epoch."""
    best = min(range(len(v)), key=v.__getitem__)
    chosen = (
        f"Solved for {_penalties(len(v))} from {penalties[0]:g} to {penalties[-1]:g}: val loss was lowest at "
        f"{penalties[best]:g}, epoch {best + 1} ({_n(v[best])})"
    )
    if len(v) == max_epochs and best == len(v) - 1:
        return f"{chosen}, the last one that trainer.max_epochs={max_epochs} allows; more epochs should help."
    return f"{chosen}, and ends at {_n(v[-1])}."


def _trees(t: Sequence[float], v: Sequence[float], iterations: Sequence[int], max_epochs: int | None) -> str:
    """Return the sentence on a model of trees, whose training loss is not informative."""
    best = min(range(len(v)), key=v.__getitem__)
    losses = f"val loss {_n(v[best])}, train loss {_n(t[best])}"
    if len(v) == 1:
        return f"{iterations[0]:,} iterations of trees were grown in one epoch: {losses}."
    chosen = (
        f"val loss was lowest after {iterations[best]:,} of {iterations[-1]:,} iterations of trees: {losses}"
    )
    if best == len(v) - 1 and len(v) == max_epochs:
        return f"{chosen}, as many as trainer.max_epochs={max_epochs} allows; more may help."
    if best == len(v) - 1:
        return f"{chosen}; more iterations (model.max_iter, of a random forest model.n_estimators) may help."
    return f"{chosen}, and ends at {_n(v[-1])}."


def _penalties(count: int) -> str:
    return "1 penalty" if count == 1 else f"{count} penalties"


def _metric_is_high(history: History) -> bool:
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

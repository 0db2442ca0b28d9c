"""Sentences of a comparison: the conclusion of each test, or the reason why there is no test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.comparison.scale import MetricScale
from dlcli.config.pasted import pasted
from dlcli.formatting import counted
from dlcli.statistics.paired import Difference
from dlcli.statistics.power import POWER

# Significance level of the tests.
ALPHA = 0.05


def no_test(metric: str, others: Sequence[str], *, of_folds: bool) -> str:
    """Return why a metric cannot be tested, with an alternative.

    Args:
        metric: the metric that cannot be tested.
        others: metrics that could be tested.
        of_folds: whether the runs have folds, too few of which have the metric; otherwise they are single hold-outs.
    """
    instead = f"Compare by --metric {others[0]}, or train" if others else "Train"
    if of_folds:
        reason = f"fewer than two folds have a value of {metric} in both runs"
        return f"There is no test, because {reason}. {instead} with all classes in each fold: cv=stratified_kfold."
    reason = f"{metric} of a single hold-out cannot be computed from the recorded predictions"
    return f"There is no test, because {reason}. {instead} with folds: cv=kfold."


def difference_in_words(
    a: str, b: str, metric: str, scale: MetricScale, difference: Difference, p: float, where: str
) -> str:
    """Return a sentence such as `B better than A in f1 by 0.8 points, 95 % CI 0.1 worse to 1.7 better: ...`."""
    if difference.mean == difference.low == difference.high == 0:
        return f"{b} has exactly the same {metric} as {a}: not distinguishable {where}"
    unit, factor = (" points", 100) if scale.is_share else ("", 1)
    more, less = ("better", "worse") if scale.better else ("higher", "lower")
    mean, *ends = (
        scale.sign * factor * value for value in (difference.mean, difference.low, difference.high)
    )
    better, ends = (more, sorted(ends)) if mean >= 0 else (less, sorted(ends, reverse=True))
    if min(ends) >= 0 or max(ends) <= 0:
        interval = f"{abs(ends[0]):.3g} to {abs(ends[1]):.3g}"
    else:  # both ends are written with better or worse, because a sign would be ambiguous
        interval = " to ".join(f"{abs(end):.3g} {more if end > 0 else less}" for end in ends)
    verdict = "distinguishable" if p < ALPHA else "not distinguishable"
    if mean == 0:
        found = f"{b} has on average the same {metric} as {a}"
    else:
        found = f"{b} {better} than {a} in {metric} by {abs(mean):.3g}{unit}"
    return f"{found}, 95 % CI {interval}: {verdict} {where}"


def more_folds(needed: int | None, have: int, cv: Mapping[str, Any]) -> str:
    """Return a sentence on the number of additional folds that would detect a difference of the observed size.

    Args:
        needed: the number of folds that detects it with `POWER`; None if no number does.
        have: the number of folds.
        cv: the section of the configuration.
    """
    if needed is None:
        return (
            f"No number of folds of these rows would find a difference of this size with a probability of {POWER:.0%}, "
            "since their training rows overlap: it needs more rows."
        )
    folds, way = cv.get("folds"), ""
    if "repeats" in cv and isinstance(folds, int) and folds:
        way = f" ({pasted('cv.repeats', -(-needed // folds))})"
    more = counted(max(needed - have, 1), "more fold")
    return (
        f"To find a difference of this size with a probability of {POWER:.0%}, {more} would be needed{way}."
    )


def more_rows(needed: int | None, have: int) -> str:
    """Return a sentence on the number of additional test rows that would detect the difference; empty if unknown."""
    if needed is None:
        return ""
    more = counted(max(needed - have, 1), "more test row")
    return (
        f"To find a difference of this size with a probability of {POWER:.0%}, about {more} would be needed."
    )

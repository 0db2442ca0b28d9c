"""Tell and record which metrics are undefined, or means over fewer classes, labels or targets than there are.

A class without rows has no recall. Macro averages are then means over the other classes, as in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlcli.datasets.notices import Notice
from dlcli.inference.evaluation import Evaluation
from dlcli.splits.split import Part, name_of_part
from dlcli.tasks.base import Task

# Kinds of tasks to what their means are over; of all others, classes.
_NOUNS = {"multilabel": "labels", "regression": "targets", "forecast": "targets", "tag": "types of entities"}

# Why metrics are undefined on some rows, by the kind of the task, and by metric.
_OF_CLASSES, _OF_NUMBERS = "they need rows of each class", "they need targets that vary"
_REASONS = {
    "binary": _OF_CLASSES,
    "multiclass": _OF_CLASSES,
    "multilabel": "they need rows with and without a label",
    "regression": _OF_NUMBERS,
}
_REASON_OF = {"mase": "the naive forecast has no error before these rows"}


def means_over(evaluations: Mapping[Part, Evaluation]) -> dict[str, int]:
    """Return the number of classes that each partial mean is over, by the name of the metric: `test/f1`."""
    return {
        f"{part}/{name}": number
        for part, evaluation in evaluations.items()
        for name, (number, _) in evaluation.over.items()
    }


def partial_notice(part: str) -> str:
    """Return the key of the notice about a part."""
    return f"{part}_means_over_fewer"


def notices_on_means(
    task: Task, evaluations: Mapping[Part, Evaluation], *, is_fold: bool = False
) -> list[Notice]:
    """Return a notice for each part with partial means or undefined metrics.

    The count is the largest number of missing classes, or that of undefined metrics.

    Warnings of other libraries' metrics, which may count a class without rows as 0, are notices, too.
    """
    noun = noun_of_means(task)
    notices = []
    for part, evaluation in evaluations.items():
        rows = f"{name_of_part(part, is_fold)} rows"
        for name, said in evaluation.remarks.items():
            text = f"{name} on the {rows}: {' '.join(said)}"
            notices.append(
                Notice(
                    f"{part}_{name}_warnings", len(said), text, f"metric.{name}", "Look at its definition."
                )
            )
        notices += _undefined(task, evaluation.metrics, part, rows)
        if not evaluation.over:
            continue
        names: dict[tuple[int, int], list[str]] = {}
        for name, counts in evaluation.over.items():
            names.setdefault(counts, []).append(name)
        over = [
            f"{in_a_sentence(own)} over {number} of {total} {noun}" for (number, total), own in names.items()
        ]
        notices.append(
            Notice(
                partial_notice(part),
                max(total - number for number, total in names),
                f"On the {rows}, means are over the {noun} that are defined there: {'; '.join(over)}",
                "task.metrics",
                "Use more of these rows, with equal shares of the classes (cv.stratify=true), or merge classes.",
            )
        )
    return notices


def _undefined(task: Task, metrics: Mapping[str, float], part: Part, rows: str) -> list[Notice]:
    """Return the notice on metrics that are NaN; none if the loss is, too: the outputs are then to blame."""
    missing = [name for name, value in metrics.items() if math.isnan(value)]
    if not missing or math.isnan(metrics.get("loss", 0.0)):
        return []
    reasons: dict[str, list[str]] = {}
    for name in missing:
        reasons.setdefault(_REASON_OF.get(name, _REASONS.get(task.kind, "")), []).append(name)
    told = [
        f"{in_a_sentence(names)} {'is' if len(names) == 1 else 'are'} undefined{f' ({why})' if why else ''}"
        for why, names in reasons.items()
    ]
    where, hint = (
        "task.metrics",
        "Use more of these rows, with each class (cv.stratify=true), or other metrics.",
    )
    return [Notice(f"{part}_undefined", len(missing), f"On the {rows}, {'; '.join(told)}", where, hint)]


def noun_of_means(task: Task) -> str:
    """Return what the task's means are over: `classes`."""
    return _NOUNS.get(task.kind, "classes")


def in_a_sentence(names: list[str]) -> str:
    """Return names as in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

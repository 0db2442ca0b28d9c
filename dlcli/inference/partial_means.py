"""Tell and record which metrics are means over fewer classes, labels or targets than there are.

A class without rows has no recall. Macro averages are then means over the other classes, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping

from dlcli.datasets.notices import Notice
from dlcli.inference.evaluation import Evaluation
from dlcli.splits.split import Part, name_of_part
from dlcli.tasks.base import Task

# Kinds of tasks to what their means are over; of all others, classes.
_NOUNS = {"multilabel": "labels", "regression": "targets", "forecast": "targets", "tag": "types of entities"}


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
    """Return a notice for each part with partial means; its count is the largest number of missing classes.

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


def noun_of_means(task: Task) -> str:
    """Return what the task's means are over: `classes`."""
    return _NOUNS.get(task.kind, "classes")


def in_a_sentence(names: list[str]) -> str:
    """Return names as in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

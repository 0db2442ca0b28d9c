"""Measure on test rows the coverage of the target by prediction sets or intervals, for `task.coverage`."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dlcli.errors import InputError
from dlcli.formatting import number
from dlcli.inference.evaluation import Evaluation
from dlcli.splits.split import Part
from dlcli.statistics.conformal import PredictionSets
from dlcli.statistics.conformal_methods import conformal_of
from dlcli.tasks.base import Task

# Result of `measured_on`: metrics by name, and sentences for the user.
Measured = tuple[dict[str, float], list[str]]


def measured_coverage(task: Task, evaluations: Mapping[Part, Evaluation]) -> Measured:
    """Return the coverage of a run's test rows by sets or intervals calibrated on its validation rows.

    Both are empty unless the task has a `coverage`, and the run both kinds of rows.
    """
    if task.coverage is None or not evaluations.keys() >= {"val", "test"}:
        return {}, []
    val, test = (task.judged(found.outputs, found.y) for found in (evaluations["val"], evaluations["test"]))
    return measured_on(task, val, test, "validation rows")


def measured_on(task: Task, calibration: pd.DataFrame, tested: pd.DataFrame, rows: str) -> Measured:
    """Return the coverage of test rows by sets or intervals calibrated on other rows, and a sentence.

    Args:
        task: The task, with a `coverage`.
        calibration: Targets and predictions of the calibration rows.
        tested: Those of the test rows.
        rows: The kind of the calibration rows, for the sentence.
    """
    assert task.coverage is not None
    try:
        conformal = conformal_of(task.kind, calibration, task.coverage)
    except InputError as error:
        return {}, [
            f"The coverage of {task.coverage:g} (task.coverage) is not measured: {error.problems[0].message}."
        ]
    found = conformal.measure(tested)
    share, size = found["conformal_coverage"], found[conformal.size_name]
    are_sets = isinstance(conformal, PredictionSets)
    of = f"with {number(size)} classes on average" if are_sets else f"with a mean width of {number(size)}"
    fitted = (
        " (which also fitted the calibration of the probabilities)" if task.calibration() is not None else ""
    )
    sentence = (
        f"Prediction {'sets' if are_sets else 'intervals'} that are to cover {task.coverage:g}, calibrated on "
        f"{conformal.rows:,} {rows}{fitted}, cover {share:.3f} of the targets of the test rows, {of}."
    )
    return {f"test/{name}": value for name, value in found.items()}, [sentence]

"""The error of each row, and the columns by which rows are divided into slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from dlcli.datasets.audio.recordings import Recordings
from dlcli.datasets.data import Data, take
from dlcli.datasets.windows import SeriesRows
from dlcli.errors import InputError
from dlcli.tasks.base import Task


def row_errors(task: Task, outputs: Tensor, y: Any) -> tuple[np.ndarray, str]:
    """Return the error of each row, and the name of the error.

    Raises:
        InputError: The predictions are neither classes, labels nor numbers.
    """
    predicted, targets = task.predictions(outputs), task.targets(y)
    pairs = [
        (name.replace("prediction", "target", 1), name)
        for name in map(str, predicted.columns)
        if name.startswith("prediction") and name.replace("prediction", "target", 1) in targets
    ]
    lines, rows = len(predicted), len(outputs)
    if not pairs or lines % max(rows, 1):
        raise without_row_errors(task)
    is_number = all(pd.api.types.is_float_dtype(predicted[name]) for _, name in pairs)
    per_target = [
        np.abs(predicted[name].to_numpy(float) - targets[target].to_numpy(float))
        if is_number
        else (predicted[name].to_numpy() != targets[target].to_numpy()).astype(float)
        for target, name in pairs
    ]
    errors = np.mean(per_target, axis=0).reshape(rows, -1).mean(axis=1)
    return errors, "absolute error" if is_number else "share of wrong rows"


def without_row_errors(task: Task) -> InputError:
    """Return the error for a task without errors of single rows."""
    hint = (
        "Own tasks define them by the method `cases` (dlcli.tasks.cases). dlcli report shows metrics and pictures."
        if task.predicts_rows
        else "It generates images, which are evaluated together. dlcli report shows them and their metrics."
    )
    return InputError(f"{type(task).__name__} has no error of single rows", "RUN", hint)


def has_row_errors(task: Task) -> bool:
    """Return whether errors of rows are known, from predicted values or from the task's `cases`."""
    return task.keeps_outputs or (task.predicts_rows and type(task).cases is not Task.cases)


def columns_of_any(data: Data, rows: np.ndarray) -> dict[str, pd.Series]:
    """Return the columns of all kinds of rows: groups that a split keeps together, and seconds of recordings."""
    found: dict[str, pd.Series] = {}
    if data.groups is not None:
        found["group"] = pd.Series(np.asarray(data.groups)[rows]).astype(str)
    if isinstance(data.x, Recordings):
        found["seconds"] = pd.Series(data.x.seconds[rows])
    return found


def slice_columns(data: Data, rows: np.ndarray) -> dict[str, pd.Series]:
    """Return the columns by which rows are grouped: columns of a table, lengths of texts, series, and classes."""
    found: dict[str, pd.Series] = {}
    x = take(data.x, rows)
    if isinstance(x, pd.DataFrame) and data.kind == "table":
        found |= {str(name): x[name].reset_index(drop=True) for name in x.columns if _divides(x[name])}
    if data.kind == "tokens":
        found["length of the text"] = pd.Series([len(str(text)) for text in x])
    y = data.y[rows]
    if isinstance(y, SeriesRows) and y.stretches.names:  # a single series has no name
        found["series"] = pd.Series(y.stretches.series(y.origins)).astype(str)
    if data.classes and getattr(y, "ndim", 0) == 1:
        found["target"] = pd.Series(np.asarray(data.classes, dtype=object)[y])
    elif isinstance(y, np.ndarray) and y.ndim == 1:
        found["target"] = pd.Series(y)
    of_any = columns_of_any(data, rows)
    if "series" in found:  # they are the groups
        of_any.pop("group", None)
    return {**of_any, **found}


def blocks_of_windows(y: Any) -> np.ndarray | None:
    """Return for each window of a series the number of its block of overlapping windows; None if there are no windows.

    Errors of windows with overlapping targets depend on each other, so blocks are counted instead of windows.
    """
    if not isinstance(y, SeriesRows) or y.horizon < 2:
        return None
    within = (y.origins - y.stretches.begin(y.origins)) // y.horizon
    pairs = np.stack([y.stretches.of(y.origins), within], axis=1)
    blocks: np.ndarray = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return blocks if len(np.unique(blocks)) < len(blocks) else None


def _divides(values: pd.Series) -> bool:
    return bool(values.nunique() > 1)

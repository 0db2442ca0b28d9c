"""The error of each row, and the columns by which rows are divided into slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from dlcli.datasets.data import Data, take
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
    return InputError(f"{type(task).__name__} has no error of single rows", "RUN", "Look at dlcli report.")


def slice_columns(data: Data, rows: np.ndarray) -> dict[str, pd.Series]:
    """Return the columns by which rows are grouped: columns of a table, lengths of texts, series, and classes."""
    found: dict[str, pd.Series] = {}
    x = take(data.x, rows)
    if isinstance(x, pd.DataFrame) and data.kind == "table":
        found |= {str(name): x[name].reset_index(drop=True) for name in x.columns if _divides(x[name])}
    if data.kind == "tokens":
        found["length of the text"] = pd.Series([len(str(text)) for text in x])
    y = data.y[rows]
    series: Any = getattr(y, "series", None)
    names: Any = getattr(getattr(y, "stretches", None), "names", None)
    if series is not None and names:
        found["series"] = pd.Series(np.asarray(series)).astype(str)
    if data.classes and getattr(y, "ndim", 0) == 1:
        found["target"] = pd.Series(np.asarray(data.classes, dtype=object)[y])
    elif isinstance(y, np.ndarray) and y.ndim == 1:
        found["target"] = pd.Series(y)
    return found


def _divides(values: pd.Series) -> bool:
    return bool(values.nunique() > 1)

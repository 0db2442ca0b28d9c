"""Validation of new rows: extract the columns and numbers that a trained model needs, or raise an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.reading.column import Place
from dlcli.datasets.tables.typed_frames import as_numbers
from dlcli.errors import DataError

_HINT = "Use a finite number."


def select_columns(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return these columns in this order.

    Raises:
        DataError: a column is missing; the hint names a similar one.
    """
    for name in columns:
        if name not in rows.columns:
            others = [str(column) for column in rows.columns if column not in columns]
            raise DataError(
                f"there is no column {name}",
                "new data",
                hint(did_you_mean(name, others), choices(map(str, rows.columns))),
            )
    return rows[list(columns)]


def numbers(steps: pd.DataFrame, columns: Sequence[str], place: Place) -> np.ndarray:
    """Return these columns of a table of steps as floats `(S, F)`; missing values are NaN.

    Raises:
        DataError: a column is missing, or a value is not a number or infinite.
    """
    found = select_columns(steps, columns)
    return np.stack([as_numbers(found[name], place, _HINT) for name in columns], axis=1)


def blocks(steps: Any, columns: Sequence[str]) -> np.ndarray:
    """Return an array of steps as floats `(N, T, F)`; `(T, F)` is one row.

    Raises:
        DataError: the shape or the number of columns is wrong, or a value is not a number or infinite.
    """
    try:
        values = np.asarray(steps, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the array contains values that are not numbers: {error}", "new data") from error
    if values.ndim not in (2, 3) or values.shape[-1] != len(columns) or not values.shape[-2]:
        expected = f"(rows, steps, {len(columns)}) or (steps, {len(columns)})"
        raise DataError(
            f"the array has shape {values.shape}; the model needs {expected}",
            "new data",
            f"The columns are {', '.join(columns)}.",
        )
    values = values[None] if values.ndim == 2 else values
    if np.isinf(values).any():
        row, step, column = np.argwhere(np.isinf(values))[0]
        where = f"new data: row {row}, step {step}, column {columns[column]}"
        raise DataError("a value is infinite", where, _HINT)
    return values

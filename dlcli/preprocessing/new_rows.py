"""Rows that come after the training: the columns and numbers in them that a model needs, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.tables.columns import Place, as_numbers
from dlcli.errors import DataError

_MEND = "Give a finite number."


def needed(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns, in this order.

    Raises:
        DataError: one is missing, with the near name.
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
    """These columns of a table of steps as floats `(S, F)`, NaN where a value is missing.

    Raises:
        DataError: a column is missing, or a value is no number or infinite.
    """
    found = needed(steps, columns)
    return np.stack([as_numbers(found[name], place, _MEND) for name in columns], axis=1)


def blocks(steps: Any, columns: Sequence[str]) -> np.ndarray:
    """An array of steps as floats `(N, T, F)`; `(T, F)` is one row.

    Raises:
        DataError: it has another shape or number of columns, or holds what is no number or infinite.
    """
    try:
        values = np.asarray(steps, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the array does not hold numbers alone: {error}", "new data") from error
    if values.ndim not in (2, 3) or values.shape[-1] != len(columns) or not values.shape[-2]:
        wanted = f"(rows, steps, {len(columns)}) or (steps, {len(columns)})"
        raise DataError(
            f"the array is {values.shape}; the model needs {wanted}",
            "new data",
            f"The columns are {', '.join(columns)}.",
        )
    values = values[None] if values.ndim == 2 else values
    if np.isinf(values).any():
        row, step, column = np.argwhere(np.isinf(values))[0]
        where = f"new data: row {row}, step {step}, column {columns[column]}"
        raise DataError("a value is infinite", where, _MEND)
    return values

"""Validated numeric columns of a table of steps: finite numbers without missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError

_HINT = "Correct it, or leave out the column: list the others: dataset.inputs=[...]."


def numeric_column(source: Source, column: str, fill: str | None = None) -> np.ndarray:
    """Return a column's values `(S,)`; missing values are NaN if `fill` is None, else an error.

    `fill` is the hint of that error, on how to fill in missing values.

    Raises:
        DataError: a value is not a number, infinite, or missing.
    """
    cells = source.frame[column]
    if pd.api.types.is_datetime64_any_dtype(cells):
        values = np.full(len(cells), np.nan)
    else:
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    missing = cells.isna().to_numpy()
    _raise_if(source, column, np.isnan(values) & ~missing, "is not a number", _HINT)
    _raise_if(source, column, np.isinf(values), "is infinite", _HINT)
    if fill is not None:
        check_no_missing(source, column, fill)
    return values


def check_no_missing(source: Source, column: str, fill: str) -> None:
    """Raise a DataError if a column has missing values; `fill` is its hint.

    Raises:
        DataError: a value is missing.
    """
    _raise_if(source, column, source.frame[column].isna().to_numpy(), "is missing", fill)


def _raise_if(source: Source, column: str, wrong: np.ndarray, message: str, hint: str) -> None:
    """Raise a DataError that names the first wrong row and the number of wrong rows."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        cell = source.frame[column].iloc[rows[0]]
        value = "a value" if pd.isna(cell) else repr(cell) if isinstance(cell, str) else str(cell)
        more = f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""
        raise DataError(f"{value} {message}{more}", source.place(int(rows[0]), column), hint)

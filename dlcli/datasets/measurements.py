"""Columns of measurements in a table of steps: finite numbers, each of them there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError

_LEAVE_OUT = "Mend it, or leave the column out: dataset.inputs=[...] names those that stay."


def measured(source: Source, column: str, fill: str | None = None) -> np.ndarray:
    """A column's values `(S,)`; NaN where one is missing, which is refused unless `fill` is None.

    `fill` says how a missing value may be mended.

    Raises:
        DataError: a value is no number, infinite, or missing.
    """
    cells = source.frame[column]
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    missing = cells.isna().to_numpy()
    _refuse(source, column, np.isnan(values) & ~missing, "is no number", _LEAVE_OUT)
    _refuse(source, column, np.isinf(values), "is infinite", _LEAVE_OUT)
    if fill is not None:
        present(source, column, fill)
    return values


def present(source: Source, column: str, fill: str) -> None:
    """Refuse a column in which a value is missing.

    Raises:
        DataError: that is so.
    """
    _refuse(source, column, source.frame[column].isna().to_numpy(), "is missing", fill)


def _refuse(source: Source, column: str, wrong: np.ndarray, what: str, hint: str) -> None:
    """Name the first row that is wrong, and how many there are."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        cell = source.frame[column].iloc[rows[0]]
        value = "a value" if pd.isna(cell) else repr(cell) if isinstance(cell, str) else str(cell)
        more = f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""
        raise DataError(f"{value} {what}{more}", source.place(int(rows[0]), column), hint)

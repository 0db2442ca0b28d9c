"""The profile of the data that a run records (`Ledger.about`), as `dlcli check` shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from dlcli.checks.column_profile import ColumnProfile, describe_columns
from dlcli.checks.profile import as_table, count_classes, describe_rows
from dlcli.datasets.data import Data, take
from dlcli.errors import Problem
from dlcli.sanitize.escapes import shortened, visible_name

# Limits on the size of the record and the time it takes: rows to describe columns by, columns, and classes.
_ROWS, _COLUMNS, _CLASSES = 100_000, 200, 1_000
_TEXT = 500  # characters


def about_data(data: Data, warnings: Iterable[Problem] = ()) -> dict[str, Any]:
    """Return the profile of the data and the warnings about it, as plain types.

    Columns are described by at most `_ROWS` rows, evenly spaced.
    """
    table = as_table(data.x)
    some = np.arange(0, len(table), -(-len(table) // _ROWS) or 1)
    columns = take(table, some) if len(some) < len(table) else table
    targets = data.y.reshape(len(data), -1) if data.targets and data.kind == "table" else np.empty((0, 0))
    profile = {
        "rows": len(data),
        "rows_are": _text(describe_rows(data)),
        "classes": {_text(name): int(rows) for name, rows in list(count_classes(data).items())[:_CLASSES]},
        "targets": _told(describe_columns(pd.DataFrame(targets, columns=list(data.targets))))
        if targets.size
        else {},
        "columns": _told(describe_columns(columns.iloc[:, :_COLUMNS])),
    }
    told = [{"where": p.where, "message": p.message, "hint": p.hint} for p in warnings]
    return {
        "profile": profile,
        "warnings": [{name: shortened(text, 10 * _TEXT) for name, text in one.items()} for one in told],
    }


def _told(columns: Iterable[ColumnProfile]) -> dict[str, str]:
    return {_text(column.name): _text(column.describe()) for column in columns}


def _text(text: object) -> str:
    return shortened(visible_name(str(text)), _TEXT)

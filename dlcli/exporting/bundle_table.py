"""How the cells of raw rows are read by a bundle's script, and made-up rows as its example."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.dates import ISO
from dlcli.datasets.reading.words import MARKERS
from dlcli.datasets.reading.words import MISSING as WORDS
from dlcli.datasets.tables.columns import MISSING
from dlcli.errors import InputError
from dlcli.prediction.example import usual_numbers, usual_value
from dlcli.preprocessing.table import Table

_INSTEAD = "Export the network alone: --output FILE.onnx"

SCHEMA_VERSION = 1


def table_spec(columns: Columns, preprocessing: Table, separator: str) -> dict[str, Any]:
    """Return the content of `bundle.json` about the columns, in the order of the graph's inputs.

    Raises:
        InputError: The script cannot read a column.
    """
    names = [*preprocessing.numeric_, *preprocessing.dates_, *preprocessing.categories_]
    inputs = [name for name, used in (("numbers", len(names) > len(preprocessing.categories_)),
                                      ("words", bool(preprocessing.categories_))) if used]  # fmt: skip
    return {
        "schema_version": SCHEMA_VERSION,
        "separator": separator,
        "missing": MISSING,
        "inputs": inputs,
        "columns": [_column(columns[name], preprocessing) for name in names],
    }


def _column(column: Column, preprocessing: Table) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "trim": column.trim,
        "missing": list(WORDS if column.missing is None else ("", *column.missing)),
        "markers": sorted(MARKERS) if column.missing is None and column.kind != "categorical" else [],
    }
    match column.kind:
        case "categorical":
            found["categories"] = list(column.categories or ())
        case "boolean":
            found["words"] = list(column.words)
        case "date":
            if len(column.date.patterns) > 1 or column.date.zone not in ("", "UTC"):
                raise _unreadable(column, f"dates {column.date.describe()}")
            (pattern,) = column.date.patterns
            if pattern != ISO and not pattern.startswith("%"):
                raise _unreadable(column, f"dates {pattern}")
            found |= {"pattern": pattern, "parts": preprocessing.dates_[column.name].parts_}
        case "numeric":
            how = column.number
            found |= {"decimal": how.decimal, "thousands": how.thousands, "unit": how.unit}
        case kind:
            raise _unreadable(column, kind)
    return found


def _unreadable(column: Column, what: str) -> InputError:
    return InputError(
        f"column {column.name} holds {what}, which the script does not read", "--bundle", _INSTEAD
    )


def example_rows(columns: Columns, preprocessing: Table) -> pd.DataFrame:
    """Return made-up rows, as they would stand in the training file: usual ones, one with gaps, one with a new word."""
    usual = usual_numbers(preprocessing)
    rows: list[dict[str, str]] = []
    for number in range(5):
        row = {}
        for column in columns.features():
            value = usual_value(column, usual)
            if column.kind == "categorical":
                names = list(column.categories or ("",))
                value = "(new)" if number == 4 else names[number % len(names)]
            elif column.kind == "boolean":
                value = column.words[number % 2]
            elif column.kind == "numeric":
                value = round(float(value) * (1 + number / 10), 4)
                whole = str(int(value)) if value == int(value) else str(value)
                value = f"{whole.replace('.', column.number.decimal)}{column.number.unit}"
            row[column.name] = "" if number == 3 else str(value)
        rows.append(row)
    return pd.DataFrame(rows)

"""The description of a table's columns for a bundle's script, and synthetic example rows."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.reading.cells import ALWAYS_BOOLEAN, MARKERS
from dlcli.datasets.reading.cells import MISSING as WORDS
from dlcli.datasets.reading.column import Column, numbers_among
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.date_formats import ISO
from dlcli.datasets.reading.months import ENGLISH_MONTHS
from dlcli.datasets.reading.number_formats import PLAIN, REWRITES
from dlcli.datasets.tables.lines import is_utf8
from dlcli.datasets.tables.typed_frames import LARGEST, MISSING
from dlcli.errors import InputError
from dlcli.exporting.heads import INSTEAD
from dlcli.inference.example import number_text, usual_numbers, usual_value
from dlcli.preprocessing.table import Table

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CsvFormat:
    """The CSV format of a bundle's rows, which is that of the training file.

    Attributes:
        separator: character between cells.
        encoding: encoding of the file.
        quotes: whether cells may be enclosed in quotes.
    """

    separator: str = ","
    encoding: str = "utf-8"
    quotes: bool = True

    @property
    def quoting(self) -> int:
        """The constant of the module csv."""
        return csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE

    @property
    def python_encoding(self) -> str:
        """Python's name of the encoding with which the script opens files."""
        return "utf-8-sig" if is_utf8(self.encoding) else self.encoding

    @property
    def settings(self) -> list[str]:
        """Overrides with which dlcli reads such rows."""
        quotes = str(self.quotes).lower()
        separator = "tab" if self.separator == "\t" else self.separator
        return [f"dataset.separator={separator}", "dataset.header=true", f"dataset.quotes={quotes}",
                f"dataset.encoding={self.encoding}"]  # fmt: skip

    def bytes_of(self, frame: pd.DataFrame) -> bytes:
        """Return rows in this format."""
        return frame.to_csv(index=False, sep=self.separator, quoting=self.quoting).encode(self.encoding)


def table_spec(columns: Columns, preprocessing: Table, form: CsvFormat) -> dict[str, Any]:
    """Return the content of `bundle.json` about the columns, in the order of the graph's inputs.

    Raises:
        InputError: The script cannot read a column.
    """
    names = [
        *preprocessing.numeric_,
        *preprocessing.dates_,
        *preprocessing.texts_,
        *preprocessing.categories_,
    ]
    inputs = [name for name, used in (("numbers", preprocessing.numbers_.width_),
                                      ("words", preprocessing.categories_)) if used]  # fmt: skip
    largest = _largest(preprocessing.numbers_) if preprocessing.numeric_ else ()
    most = {
        name: {"most": float(number)} for name, number in zip(preprocessing.numeric_, largest, strict=False)
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "separator": form.separator,
        "encoding": form.python_encoding,
        "quoting": form.quoting,
        "missing": MISSING,
        "rewrites": REWRITES,
        "inputs": inputs,
        "columns": [column_spec(columns[name], preprocessing) | most.get(name, {}) for name in names],
    }


def _largest(fitted: Any) -> np.ndarray:
    """Return for each numeric column the largest power of ten whose scaled value is finite."""
    powers = 10.0 ** np.arange(round(math.log10(LARGEST)) + 1)
    with np.errstate(over="ignore"):
        scaled = fitted.transform(np.repeat(powers[:, None], fitted.width_, axis=1))[:, : fitted.width_]
    return powers[np.isfinite(scaled).sum(axis=0) - 1]


def column_spec(column: Column, preprocessing: Any) -> dict[str, Any]:
    """Return how the script reads the cells of a column; `preprocessing` has the parts of its dates.

    Raises:
        InputError: The script cannot read it.
    """
    found: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "trim": column.trim,
        "missing": list(WORDS if column.missing is None else ("", *column.missing)),
        "markers": sorted(MARKERS) if column.takes_markers and column.kind != "categorical" else [],
    }
    match column.kind:
        case "categorical":
            found["categories"] = list(column.categories or ())
        case "boolean" if column.words:
            found["words"] = {
                word: code for code in (0, 1) for word in (column.words[code], *ALWAYS_BOOLEAN[code])
            }
        case "date":
            if len(column.date.patterns) > 1 or column.date.zone not in ("", "UTC"):
                raise _unreadable(column, f"dates {column.date.describe()}")
            (pattern,) = column.date.patterns
            if pattern != ISO and (not pattern.startswith("%") or pattern.endswith("%V")):
                raise _unreadable(column, f"dates {pattern}")
            found |= {"pattern": pattern, "parts": preprocessing.dates_[column.name].parts_}
            if "%b" in pattern.lower():
                found["months"] = ENGLISH_MONTHS
        case "numeric":
            how = column.number
            if not column.takes_markers and how == PLAIN:
                found["markers"] = ["nan", "-nan"]  # floats, although other markers are read as missing
            found |= {
                "decimal": how.decimal,
                "thousands": how.thousands,
                "like": how.describe() or "1234.5",
                "number": how.expression(),
                "absent": numbers_among(column.missing or ()),
            }
        case kind:
            raise _unreadable(column, kind)
    return found


def _unreadable(column: Column, what: str) -> InputError:
    return InputError(
        f"column {column.name} holds {what}, which the script does not read", "--bundle", INSTEAD
    )


def example_rows(columns: Columns, preprocessing: Table) -> pd.DataFrame:
    """Return synthetic rows in the format of the training file: typical ones, one with gaps, one with a new word."""
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
                value = number_text(round(usual.get(column.name, 0.0) * (1 + number / 10), 4), column.number)
            row[column.name] = "" if number == 3 else str(value)
        rows.append(row)
    return pd.DataFrame(rows)

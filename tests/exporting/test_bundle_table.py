"""The script of a bundle reads a cell as dlcli does, or refuses it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.date_formats import DateFormat
from dlcli.datasets.reading.number_formats import NumberFormat
from dlcli.errors import DataError
from dlcli.exporting.bundle_table import CsvFormat, table_spec
from dlcli.inference.example import number_text

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

PARTS = ["year", "month", "day", "weekday", "hour", "minute", "second"]
WORDS = {"a": 1, "1": 1, "2.0": 1, "True": 1}
BOTH = {"1": 1, "1.0": 1}

NUMBERS = (
    "12.5", "12,5", "1,5", "1.234,5", "1.23", "1.234", "1,234.5", "1_000", "1 000", "1\u202f000", "inf", "-Infinity",
    "nan", "1e3", "1e400", "1e200", "1e38", "1e39", "0x10", "+5", "-5", "\u22125", "- 5", "(123)", "(12,5)", "123-",
    "12,5-", "1-", "5 kg", "kg 5", "5", "5 EUR", "EUR 5", "EUR5 EUR", "-EUR 5", "EUR-5", "Fr.5", "5 Fr.", "\u0663", "",
    " 5 ",
    "NA", "unknown", "-999", "-999.0", "-999,0", ".5", ",5", "5.", "1'234", "1\u2019234", "12,34,567.0",
)  # fmt: skip
MONTHS = (
    "12. Mai 2023", "3. M\u00e4rz 2024", "3. m\u00e4r 2024", "4. Juli 2024", "4. July 2024",
    "4. Okt 2024", "4. maggio 2024", "4. Foo 2024",
)  # fmt: skip
DATES = (
    "2024-01-31", "2024/01/31", "2024-1-5", "2024-01/31", "31.01.2024", "1.2.2024", "01/31/2024", "31. Januar 2024",
    "2024-01-31T13:05", "2024-01-31 9:05:07", "2024-01-31 13:05:07,25", "2024-01-31 23:05 +02:00",
    "2024-01-31T23:05:00-0130", "2024-01-31T23:05:00+02", "2024-01-31T23:05Z", "2024-02-30", "24-01-31", "", "n.a.",
    "0000-00-00", "today",
)  # fmt: skip
BOOLEANS = ("true", "TRUE", "False", "0", "1", "1.0", "yes", "", "NA", "unknown", "2")
NAMES = (
    "a",
    " a ",
    "A",
    "1",
    "1.0",
    "1.00",
    "2",
    "2.0",
    "TRUE",
    "true",
    "",
    "NA",
    "unknown",
    "new",
    "(missing)",
)

COLUMNS: dict[str, tuple[Column, Sequence[str]]] = {
    "plain numbers": (Column("c", "numeric"), NUMBERS),
    "1.234,5": (Column("c", "numeric", number=NumberFormat(",", ".")), NUMBERS),
    "1,234.5": (Column("c", "numeric", number=NumberFormat(".", ",")), NUMBERS),
    "1234,5": (Column("c", "numeric", number=NumberFormat(",")), NUMBERS),
    "1 234.5": (Column("c", "numeric", number=NumberFormat(".", " ")), NUMBERS),
    "1'234.5": (Column("c", "numeric", number=NumberFormat(".", "'")), NUMBERS),
    "kg": (Column("c", "numeric", number=NumberFormat(unit="kg")), NUMBERS),
    "EUR": (Column("c", "numeric", number=NumberFormat(unit="EUR")), NUMBERS),
    "Fr.": (Column("c", "numeric", number=NumberFormat(unit="Fr.")), NUMBERS),
    "-999 is missing": (Column("c", "numeric", missing=("-999",)), NUMBERS),
    "ISO dates": (Column("c", "date"), DATES),
    "days first": (Column("c", "date", date=DateFormat(("%d.%m.%Y",))), DATES),
    "months by name": (Column("c", "date", date=DateFormat(("%d. %B %Y",))), (*DATES, *MONTHS)),
    "months by short name": (Column("c", "date", date=DateFormat(("%d. %b %Y",))), (*DATES, *MONTHS)),
    "year, day, month": (Column("c", "date", date=DateFormat(("%Y/%d/%m",))), ("2024/01/05", "2024/31/01")),
    "booleans": (Column("c", "boolean"), BOOLEANS),
    "yes and no": (Column("c", "boolean", words=("no", "yes")), BOOLEANS),
    "words": (Column("c", "categorical", categories=WORDS), NAMES),
    "1 and 1.0": (Column("c", "categorical", categories=BOTH), NAMES),
    "words with blanks": (Column("c", "categorical", categories=WORDS, trim=False), NAMES),
    "no missing words": (Column("c", "categorical", categories=WORDS, missing=()), NAMES),
}

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

# What the script refuses though dlcli reads it.
REFUSED = {"31. Januar 2024", "0x10", "today"}


def script_for(column: Column, form: CsvFormat | None = None) -> Any:
    """Return the module of the script of a bundle with one column."""
    kinds = {"numeric": "numeric_", "boolean": "numeric_", "date": "dates_", "categorical": "categories_"}
    fitted: dict[str, Any] = {"numeric_": [], "dates_": {}, "texts_": {}, "categories_": []}
    fitted[kinds[column.kind]] = {"c": SimpleNamespace(parts_=PARTS)} if column.kind == "date" else ["c"]
    numbers = SimpleNamespace(width_=int(column.kind != "categorical"), transform=np.float32)
    table: Any = SimpleNamespace(**fitted, numbers_=numbers)
    Path("bundle.json").write_text(
        json.dumps(table_spec(Columns((column,)), table, form or CsvFormat())), encoding="utf-8"
    )
    files = resources.files("dlcli.exporting") / "bundle_files"
    parts = (files.joinpath(name).read_text(encoding="utf-8") for name in ("read_table.txt", "predict.txt"))
    Path("predict.py").write_text("".join(parts), encoding="utf-8")
    found = importlib.util.spec_from_file_location("predict", "predict.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def read_by_dlcli(column: Column, cell: str) -> list[Any] | None:
    """Return what the model takes for a cell, None if it is refused."""
    try:
        found = column.read(pa.chunked_array([pa.array([cell])]), lambda row, name: "")
    except DataError:
        return None
    if column.kind == "categorical":
        return ["(missing)" if pd.isna(found[0]) else found[0]]
    if column.kind == "date":
        when = found[0]
        return [
            np.nan if pd.isna(when) else float(getattr(when, part)) for part in PARTS if part != "weekday"
        ]
    number = float(found[0]) if not pd.isna(found[0]) else np.nan
    return [number] if not abs(number) > LARGEST_FLOAT32 else None


@pytest.mark.parametrize("column, cells", COLUMNS.values(), ids=COLUMNS)
def test_cells_are_read_as_by_dlcli(column: Column, cells: Sequence[str]) -> None:
    script = script_for(column)
    (spec,) = script.SPEC["columns"]
    different = []
    for cell in cells:
        try:
            found = script.values(cell, spec)
        except ValueError:
            found = None
        if column.kind == "date" and found is not None:
            del found[PARTS.index("weekday")]
        expected = read_by_dlcli(column, cell)
        same = repr(found) == repr(expected)
        if not same and not (found is None and cell in REFUSED):
            different.append((cell, found, expected))
    assert not different


NUMERIC = {name: column for name, (column, _) in COLUMNS.items() if column.kind == "numeric"}


@pytest.mark.parametrize("column", NUMERIC.values(), ids=NUMERIC)
@pytest.mark.parametrize("value", [-1234.5, 0.0, 5.0, 1e-05], ids=str)
def test_made_up_numbers_are_read(column: Column, value: float) -> None:
    cell = number_text(value, column.number)
    script = script_for(column)
    assert script.values(cell, script.SPEC["columns"][0]) == read_by_dlcli(column, cell) == [value]


@pytest.mark.parametrize(
    "content, message",
    {
        "too few cells": ("c;d\n1;2\n3\n", "rows.csv:3 does not have as many cells"),
        "too many cells": ("c;d\n1;2;3\n", "rows.csv:2 does not have as many cells"),
        "another separator": ("c,d\n1,2\n", "the header, separated by ';', lacks c"),
        "no rows": ("c;d\n", "has no rows"),
        "nothing": ("", "lacks c"),
        "no number": ("c;d\nwide;1\n", "rows.csv:2, column c: 'wide' is not a number"),
        "another encoding": ("c;d\n1;\xe4\n", "can't decode"),
        "a quote that is not closed": ('c;d\n1;"a\n', "unexpected end of data"),
    }.values(),
    ids=str,
)
def test_mistakes_in_a_file_are_reported(content: str, message: str) -> None:
    script = script_for(Column("c", "numeric"), CsvFormat(";"))
    Path("rows.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises((ValueError, script.csv.Error)) as error:
        list(script.read("rows.csv"))
    assert message in str(error.value)


def test_names_of_columns_may_have_blanks_and_files_the_encoding_of_training() -> None:
    script = script_for(Column("c", "categorical"), CsvFormat("\t", "latin-1", quotes=False))
    Path("rows.csv").write_bytes('d\t c \n1\tK\xe4se\n2\t"a\n'.encode("latin-1"))
    assert next(script.read("rows.csv"))[1]["words"].tolist() == [["K\xe4se"], ['"a']]

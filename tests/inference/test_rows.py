"""Inputs that `predict` accepts, and errors for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.number_formats import NumberFormat
from dlcli.errors import DataError
from dlcli.inference.rows import as_rows


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ("new.csv", "table", r"new.csv is the name of a file, but .*\n.*pandas.read_csv\('new.csv'\)"),
        (Path("new.csv"), "sequence", r"pandas.read_csv\('new.csv'\)"),
        ("cat.png", "image", "Pass an array of images"),
        (Path("new.txt"), "tokens", "is the name of a file"),
        ("new.csv", "tokens", "is the name of a file"),
        (3, "table", "cannot be converted to a table.*\n.*DataFrame"),
    ],
)
def test_objects_that_are_not_rows_are_reported(given: Any, kind: str, told: str) -> None:
    Path("new.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=told):
        as_rows(given, kind)


def test_a_text_is_a_text() -> None:
    for text in ("Free entry!", "old.csv", "a" * 5000, "\0"):
        assert as_rows(text, "tokens") == text


def test_a_changed_copy_of_rows_that_were_read_is_read_again() -> None:
    columns = Columns((Column("size", "numeric", NumberFormat(decimal=",")), Column("day", "date")))
    cells = pa.table({"size": ["2,5", "3"], "day": ["2024-01-31", None]})
    rows = columns.read(cells, lambda row, column: "")
    pd.testing.assert_frame_equal(as_rows(rows, "table", columns), rows)
    assert as_rows(rows, "table", columns, are_read=True) is rows
    changed = rows.copy()
    changed["size"] = ["1,5", "4"]
    assert as_rows(changed, "table", columns)["size"].tolist() == [1.5, 4]


class CountedName(str):
    """A name that counts comparisons."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_columns_are_found_by_name_without_a_scan() -> None:
    names = [f"f{n}" for n in range(200)]
    columns = Columns(tuple(Column(CountedName(name), "numeric") for name in names))
    CountedName.compared = 0
    found = as_rows(pd.DataFrame([range(200)], columns=names), "table", columns)
    assert found.iloc[0].tolist() == list(range(200))
    assert "label" not in columns.with_roles(dict.fromkeys([*names, "label"], "id"))
    assert CountedName.compared <= 10 * len(names)

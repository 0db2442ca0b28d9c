"""Columns of numbers that are parsed while a large file is read have the values and notes of columns of strings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.table import load
from dlcli.datasets.tables import delimited, packing
from dlcli.datasets.tables.read_table import read_raw
from dlcli.errors import DataError

# Numbers with points and those without, from which most columns are made.
PLAIN = [f"{row / 7:.4f}" for row in range(90)]
CELLS = st.sampled_from(
    [
        *(
            "1",
            "-7",
            "+4",
            "+4.5",
            "007",
            "01.5",
            ".5",
            "5.",
            "1e5",
            "12E5",
            "-0",
            "-0.0",
            "0x1e",
            "1_0",
            "1.327",
        ),
        *(
            "9007199254740993",
            "12345678901234567890",
            "1e400",
            "1,5",
            "1.234,5",
            "1,234.5",
            "12%",
            "3 kg",
            "$4.50",
        ),
        *(
            "",
            " ",
            "NA",
            "nan",
            "NAN",
            "-nan",
            "nan(1)",
            "?",
            " NA ",
            "NaN ",
            "n.a.",
            "-",
            "unknown",
            "inf",
            "#c",
        ),
        *(
            " 2.5",
            "2.5\t",
            "\u00a02.5",
            "\u0663.5",
            "2024-01-31",
            "31.12.2024",
            "yes",
            "true",
            "a b",
            "2.5 x",
        ),
        *('"2.5"', '"2,5"', '""', '"2\n5"', '" 2.5 "', '"NA"'),
    ]
)


@contextmanager
def parsed(numbers: bool) -> Iterator[None]:
    """Read in small blocks; columns of numbers are parsed, or never."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_BLOCK", 1 << 10)
        patch.setattr(packing, "_CHUNK", 1 << 11)
        patch.setattr(delimited, "LARGE", 1 if numbers else 1 << 40)
        patch.setattr(delimited, "FIRST", 1 << 12)
        yield


def outcome(file: Path, **options: Any) -> Any:
    """Return what a table is read as, or the error's problems."""
    try:
        data = load(str(file), "y", **options)
    except DataError as error:
        return error.problems
    notes = [(column, column.note) for column in data.columns or ()]
    hashes = pd.util.hash_pandas_object(data.x).tolist()
    return data.x.dtypes.to_dict(), hashes, notes, data.warnings, data.notices, data.fingerprint


def lines(column: list[str], header: str = "x,y") -> str:
    return "\n".join([header, *(f"{cell},{row / 3:.5f}" for row, cell in enumerate(column))]) + "\n"


def both(text: str, **options: Any) -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        file.write_text(text)
        with parsed(numbers=False):
            expected = outcome(file, **options)
        with parsed(numbers=True):
            return outcome(file, **options), expected


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    cells=st.dictionaries(st.integers(0, 599), CELLS, max_size=3),
    begin=st.lists(CELLS, max_size=2),
    fill=st.sampled_from([PLAIN, PLAIN[:40], ["1.5", "2"], ["1", "2"], ["12E5", "1E7"], ["1.1", "1.10"]]),
    header=st.sampled_from(["x,y", ",y", '"x\nz",y', "\nx,y", "\n2001,2002"]),
)
@example({}, [], PLAIN, "x,y")
@example({590: "n.a.", 200: "NAN"}, [], PLAIN, "x,y")
@example({590: ""}, [""], PLAIN, "x,y")
@example({}, [], PLAIN, "\n2001,2002")
@example({590: "1,In CSV column #1: conversion error to double"}, [], PLAIN, "x,y")
def test_arbitrary_columns_are_read_as_by_their_strings(
    cells: dict[int, str], begin: list[str], fill: list[str], header: str
) -> None:
    column = [*begin, *(cells.get(row, fill[row % len(fill)]) for row in range(600))]
    found, expected = both(lines(column, header))
    assert found == expected


@pytest.mark.parametrize(
    "options",
    [
        {"decimal": ","}, {"thousands": ","}, {"missing_values": ["0.1429"]}, {"missing_values": {"x": [0.5714]}},
        {"types": {"x": "categorical"}}, {"date_format": {"x": "%Y"}}, {"header": False, "missing_target": "drop"},
        {"drop": ["x"]}, {"time": "x"}, {"trim": False},
    ],
)  # fmt: skip
def test_options_are_heeded(options: dict[str, Any]) -> None:
    text = lines([*PLAIN] * 5)
    if options.get("header") is False:
        text = text.replace("x,y\n", "").replace("\n", ",7\n")
        options = {**options, "drop": ["c2"]}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.csv"
            file.write_text(text)
            for numbers in (False, True):
                with parsed(numbers):
                    assert load(str(file), "c1", **options).x["c0"].iloc[1] == 0.1429
        return
    found, expected = both(text, **options)
    assert found == expected


def test_numbers_are_parsed_while_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.csv"
    read: list[frozenset[int]] = []

    def seen(stream: Any, form: Any, block: int, note: Any, numbers: frozenset[int] = frozenset()) -> Any:
        read.append(numbers)
        return reader(stream, form, block, note, numbers)

    reader = delimited._reader
    monkeypatch.setattr(delimited, "_reader", seen)
    for column, expected in (
        (PLAIN * 6, [{0, 1}]),
        ([*PLAIN * 6, "n.a."], [{0, 1}, {1}]),
        (["n.a.", *PLAIN * 6], [{1}]),
    ):
        read.clear()
        file.write_text(lines(column))
        with parsed(numbers=True):
            assert load(str(file), "y").x["x"].dtype == "float64"
        assert [numbers for numbers in read if numbers] == expected


@pytest.mark.parametrize("too_few", [False, True])
def test_numbers_are_held_once_also_if_there_are_more_rows_than_expected(
    too_few: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [*(f"{row / 7:.4f}" for row in range(900)), "", "1.5"]
    file = tmp_path / "rows.csv"
    file.write_text(lines(cells))
    expected: list[int] = []

    def packed_as_expected(batches: Any, schema: Any, rows: int = 0) -> Any:
        expected.append(rows)
        return packing.packed(batches, schema, 10 if too_few else rows)

    monkeypatch.setattr(delimited, "packed", packed_as_expected)
    with parsed(numbers=True):
        table = read_raw(file, None, ["y"], ReadingOptions()).table
    assert len(cells) <= expected[0] < 1.2 * len(cells)
    for name, missing in ("x", 1), ("y", 0):
        assert table.column(name).num_chunks == 1
        assert table.column(name).null_count == missing
    assert table.column("x").to_pylist() == [float(cell) if cell else None for cell in cells]
    column = table.column("y")
    assert np.shares_memory(column.to_pandas().to_numpy(), column.chunk(0).to_numpy())


def test_lines_are_counted_with_comments_empty_lines_and_a_header(tmp_path: Path) -> None:
    rows = lines(PLAIN * 6).splitlines()
    rows[300:300] = ["# a comment", ""]
    rows[400] = "inf,1.5"
    problems, expected = both("\n".join(rows))
    assert problems == expected
    assert problems[0].message == "inf is infinite"
    assert problems[0].where.endswith("rows.csv:401, column x")

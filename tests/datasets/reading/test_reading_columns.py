"""Kinds of columns, conversion to them, places of cells, and warnings about times."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dlcli.datasets.reading.cells import spread
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.date_formats import DateFormat
from dlcli.datasets.tables.dialect import has_stray_quote, quotes_are_literal
from dlcli.datasets.tables.source import RawTable, Source
from dlcli.datasets.tables.times import time_warnings
from dlcli.datasets.tables.typed_frames import as_categories, as_dates, as_numbers, is_text, named
from dlcli.errors import DataError


def place(row: int, column: str) -> str:
    return f"row {row} of {column}"


def column(values: Any, **options: Any) -> pd.Series:
    return pd.Series(values, name="c", **options)


def strings(values: list[Any]) -> pd.Series:
    return column(values, dtype="str")


def test_columns_numbered_by_pandas_are_renamed() -> None:
    numbered = pd.DataFrame(np.zeros((2, 3)))
    assert list(named(numbered, ["c0", "c2"]).columns) == ["c0", "c1", "c2"]
    assert list(named(numbered[[0]], ["c0"]).columns) == ["c0"]
    assert list(named(numbered, ["0", "1"]).columns) == ["0", "1", "2"]
    assert list(named(pd.DataFrame({"a": [1], 5: [2]}), ["a"]).columns) == ["a", "5"]
    assert list(named(pd.DataFrame(), ["a"]).columns) == []


@pytest.mark.parametrize(
    ("distinct", "rows", "text"),
    [(50, 50, False), (51, 51, True), (51, 101, True), (51, 102, False), (60, 119, True), (60, 120, False)],
)
def test_more_than_half_of_the_values_of_a_text_are_distinct(distinct: int, rows: int, text: bool) -> None:
    values = [f"word {number % distinct}" for number in range(rows)]
    assert bool(is_text(strings(values))) is text
    assert bool(is_text(strings([*values, *[None] * 500]))) is text
    assert not is_text(column(np.arange(500.0)))


def test_a_thousand_values_from_all_parts_of_a_column_are_examined_first() -> None:
    for rows, few in ((1999, 1999), (2000, 1000), (4000, 1000)):
        examined = spread(pa.array(range(rows))).to_pylist()
        assert (len(examined), examined[0], rows - examined[-1] <= 4) == (few, 0, True)


def test_errors_name_the_cell_that_is_not_a_number() -> None:
    assert as_numbers(strings(["1", None, "2.5"]), place) == pytest.approx([1, np.nan, 2.5], nan_ok=True)
    assert as_numbers(column([True, False]), place).tolist() == [1.0, 0.0]
    assert as_numbers(column(pd.array([1, None], dtype="Int64")), place) == pytest.approx(
        [1, np.nan], nan_ok=True
    )
    for values in (
        strings(["1", None, "many", "2"]),
        strings(["1", "2", "inf"]),
        column([0.0, 1.0, -np.inf]),
    ):
        with pytest.raises(DataError) as refused:
            as_numbers(values, place)
        assert refused.value.problems[0].where == "row 2 of c"
        with pytest.raises(DataError) as refused:
            as_numbers(values, place, "Do this.")
        assert refused.value.problems[0].hint == "Do this."


def test_categories_do_not_depend_on_the_type_of_numbers() -> None:
    for values in ([1, 2, 1], [1.0, 2.0, 1.0], ["1", "2", "1"]):
        assert as_categories(column(values)).tolist() == ["1", "2", "1"]
    assert as_categories(column([1.5, None, 2.0])).tolist() == ["1.5", "(missing)", "2"]
    assert as_categories(column([True, False])).tolist() == ["True", "False"]


def test_dates_of_a_table_in_memory_have_one_format() -> None:
    assert as_dates(strings(["25/06/2024", "05/06/2024", None]), place)[1] == pd.Timestamp("2024-06-05")
    assert as_dates(strings(["2024-05-06T12:00+02:00"]), place)[0] == pd.Timestamp("2024-05-06 10:00")
    dates = column(pd.to_datetime(["2024-05-06"]))
    assert as_dates(dates, place) is dates
    with pytest.raises(DataError, match="row 0 of c: '05/06/2024' may be written as"):
        as_dates(strings(["05/06/2024"]), place)
    with pytest.raises(DataError, match="row 1 of c: 'soon' is not a date"):
        as_dates(strings(["2024-05-06", "soon"]), place)


def table(rows: int = 3, **options: Any) -> Source:
    return Source(pd.DataFrame({"a": range(rows)}), Path("t.csv"), **options)


def test_the_place_of_a_cell() -> None:
    assert table(first=2).place(0) == "t.csv:2"
    assert table(first=2).place(2, "a") == "t.csv:4, column a"
    assert table().place(0) == "t.csv, row 1"
    assert table(skipped=10).place(2, "a") == "t.csv, row 13, column a"


def test_the_place_of_a_cell_of_a_test_file() -> None:
    test = Source(pd.DataFrame({"a": [7, 8]}), Path("test.csv"), first=2)
    joined = table(first=2).joined(test)
    assert joined.frame["a"].tolist() == [0, 1, 2, 7, 8]
    assert joined.frame.index.tolist() == [0, 1, 2, 3, 4]
    assert [joined.place(row) for row in range(5)] == [
        "t.csv:2", "t.csv:3", "t.csv:4", "test.csv:2", "test.csv:3",
    ]  # fmt: skip
    kept = table(first=2).without(np.array([True, False, True]))
    assert (kept.frame["a"].tolist(), kept.place(0)) == ([1], "t.csv:3")


def test_rows_of_a_test_file_are_read_by_the_columns_of_the_others() -> None:
    own = pa.table(
        {
            "number": ["1.5", "2.5"],
            "name": ["a", "1"],
            "flag": ["true", "false"],
            "day": ["25/05/2024", "06/05/2024"],
        }
    )
    columns = Columns(
        (
            Column("number", "numeric"),
            Column("name", "categorical"),
            Column("flag", "boolean"),
            Column("day", "date", date=DateFormat(("%d/%m/%Y",))),
        )
    )
    source = RawTable.of(own, Path("t.csv"), 2, unsupported={"list": "list"}).read(columns)
    other = {"number": ["3"], "name": [1.0], "flag": [1], "day": ["08/05/2024"], "more": ["left out"]}
    found = source.joined(RawTable.of(pa.table(other), Path("test.csv"), 2).read(columns))
    assert found.frame["number"].tolist() == [1.5, 2.5, 3.0]
    assert found.frame["name"].tolist() == ["a", "1", "1"]
    assert found.frame["flag"].tolist() == [True, False, True]
    assert found.frame["day"].tolist()[2] == pd.Timestamp("2024-05-08")
    assert list(found.frame.columns) == list(own.column_names)
    assert (found.first, found.unsupported) == (2, {"list": "list"})
    assert found.frame.attrs == source.frame.attrs
    for change in ({"number": ["x"]}, {"flag": [2]}, {"day": ["05/25/2024"]}):
        with pytest.raises(DataError) as refused:
            RawTable.of(pa.table({**other, **change}), Path("test.csv"), 2).read(columns)
        assert refused.value.problems[0].where.startswith("test.csv:2, column")


def test_a_table_has_rows_and_unique_names() -> None:
    assert RawTable.of(pa.table({"a": [1, 2]}), Path("t.csv")).names == ["a"]
    for empty in (pa.table({"a": pa.array([], pa.int64())}), pa.table({})):
        with pytest.raises(DataError, match="has no rows"):
            RawTable.of(empty, Path("t.csv"))
    with pytest.raises(DataError, match="columns 1, 3"):
        RawTable.of(pa.table([pa.array([1])] * 3, names=["a", "b", "a"]), Path("t.csv"))


@pytest.mark.parametrize(
    ("lines", "literal"),
    [
        (['5" pipe,a', "b,c"], False),  # a quote within a cell is always literal
        (['"long" pipe,a', "b,c"], True),
        (['b,"long" pipe\r\n', "b,c\r\n"], True),
        (['"a,b",c'], True),  # both parts between commas are stray
        (['"a,b",c', "d,e"], False),
        (['"a","b"', '"c","d ""e"""'], False),
        (["a,b", "", '"c" d,e'], True),
        (["a,b", '"c" d,e', "f,g,h"], False),
        (["a,b", "c,d"], False),
        ([], False),
    ],
)
def test_quotes_that_enclose_no_cell_are_literal(lines: list[str], literal: bool) -> None:
    assert bool(quotes_are_literal(lines, ",")) is literal
    content = "\n".join(line.rstrip() for line in lines).encode()
    assert has_stray_quote(io.BytesIO(content), ",") or not literal


def test_stray_quotes_are_found_in_blocks_as_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.datasets.tables.dialect._BLOCK", 7)
    draw = np.random.default_rng(0)
    for _ in range(3000):
        text = "".join(draw.choice(list('""a\t\n\r"b'), draw.integers(0, 15)))
        cells = [cell for line in io.StringIO(text, newline=None) for cell in line.rstrip("\n").split("\t")]
        stray = any(cell[:1] == '"' and not re.fullmatch(r'"(?:[^"]|"")*"', cell) for cell in cells)
        assert has_stray_quote(io.BytesIO(text.encode()), "\t") == stray, text


def warned(times: Any, first: int | None = 2) -> list[str]:
    values = np.array(times)
    source = Source(pd.DataFrame({"t": values}), Path("t.csv"), first)
    return [problem.where for problem in time_warnings(source, values, "t")]


def test_decreasing_times_and_gaps_are_reported() -> None:
    assert warned([1, 2, 3, 4]) == []
    assert warned([1, 2, 2, 3]) == []
    assert warned([1, 2, 3, 1]) == ["t.csv:5, column t"]
    assert warned([*range(10), 12]) == ["t.csv:12, column t"]
    assert warned([*range(11), 13]) == ["t.csv:13, column t"]
    assert warned([0, 1, 2, 3, 5]) == []  # fewer than nine in ten steps are equal
    assert warned([*range(9), 10]) == []
    assert warned([2.0 * step for step in range(11)] + [23.0]) == []  # 1.5 steps are not a gap
    assert warned([2.0 * step for step in range(11)] + [23.1]) == ["t.csv:13, column t"]
    assert warned([7]) == warned([7, 7]) == []
    assert warned(np.array([], dtype=float)) == []
    days = np.arange("2024-01-01", "2024-01-15", dtype="datetime64[D]").astype("datetime64[ns]")
    assert warned(days) == []
    assert warned(np.delete(days, 12)) == ["t.csv:14, column t"]
    source = Source(pd.DataFrame({"t": [2, 1]}), Path("t.csv"), 2)
    assert list(time_warnings(source, None, "t")) == []
    assert list(time_warnings(source, np.array([2, 1]), None)) == []

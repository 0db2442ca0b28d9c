"""Kinds of columns, conversion to them, places of cells, and warnings about times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets.tables.columns import (
    DATE_FORMATS,
    ISO,
    as_categories,
    as_dates,
    as_kind,
    as_numbers,
    date_format_of,
    is_mostly_numbers,
    is_text,
    named,
)
from dlcli.datasets.tables.dialect import quotes_are_literal
from dlcli.datasets.tables.source import Source, checked
from dlcli.datasets.tables.times import time_warnings
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


@pytest.mark.parametrize(("numbers", "mostly"), [(8, False), (9, True), (10, True)])
def test_mostly_numbers_begins_at_nine_in_ten(numbers: int, mostly: bool) -> None:
    values = ["1.5"] * numbers + ["x"] * (10 - numbers) + [None] * 5
    assert bool(is_mostly_numbers(strings(values))) is mostly
    assert not is_mostly_numbers(strings([None, None]))


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
    kept = as_kind(column([2.0, None, 1.5], index=[7, 8, 9]), "categorical", place)
    assert kept.tolist()[::2] == ["2", "1.5"]
    assert kept.isna().tolist() == [False, True, False]
    assert (kept.name, kept.index.tolist()) == ("c", [7, 8, 9])


@pytest.mark.parametrize(
    ("first", "format", "days"),
    [
        ("2024-05-06", ISO, ["2024-05-06", "2024-06-05"]),
        ("2024/05/06", ISO, ["2024-05-06"]),
        ("05/06/2024", "%m/%d/%Y", ["2024-05-06"]),
        ("25/06/2024", "%d/%m/%Y", ["2024-06-25"]),
    ],
)
def test_dates_are_read_in_the_format_of_the_first(first: str, format: str, days: list[str]) -> None:
    assert date_format_of(strings([None, first, "31/01/2024"])) == format
    found = as_dates(strings([first, None]), place, format)
    assert found[0] == pd.Timestamp(days[0])
    assert found.isna().tolist() == [False, True]


def test_the_given_format_of_dates_is_used() -> None:
    values = strings(["05/06/2024", "2024-07-08", None])
    for format, month in (("%m/%d/%Y", 5), ("%d/%m/%Y", 6)):
        found = as_dates(values, place, format)
        assert found[0].month == month
        assert (found[1].month, found[1].day) == (7, 8)  # ISO dates are accepted in addition
        assert found.dt.tz is None
        assert as_kind(values, "date", place, format).equals(found)
    assert as_dates(strings(["2024-05-06T12:00+02:00"]), place, ISO)[0] == pd.Timestamp("2024-05-06 10:00")
    assert as_dates(strings(["31/01/2024", "2024-05-06T12:00+02:00"]), place, "%d/%m/%Y")[1] == pd.Timestamp(
        "2024-05-06 10:00"
    )
    with pytest.raises(DataError) as refused:
        as_dates(strings(["05/06/2024", "2024-07-08", "25/25/2024"]), place, "%d/%m/%Y")
    assert refused.value.problems[0].where == "row 2 of c"
    dates = column(pd.to_datetime(["2024-05-06"]))
    assert as_dates(dates, place, "%d/%m/%Y") is dates
    assert date_format_of(dates) == date_format_of(strings([None])) == ISO
    assert date_format_of(strings(["no date"])) is None


def test_conversion_to_a_kind_keeps_name_and_index() -> None:
    whole = column([1, 2], index=[3, 4])
    assert as_kind(whole, "numeric", place) is whole
    found = as_kind(column(["1", "2"], index=[3, 4]), "numeric", place)
    assert (found.tolist(), found.name, found.index.tolist()) == ([1.0, 2.0], "c", [3, 4])
    assert as_kind(column([1.0, np.nan]), "numeric", place).isna().tolist() == [False, True]
    with pytest.raises(DataError) as refused:
        as_kind(column([1.0, np.inf]), "numeric", place)
    assert refused.value.problems[0].where == "row 1 of c"


def table(rows: int = 3, **options: Any) -> Source:
    return Source(pd.DataFrame({"a": range(rows)}), Path("t.csv"), **options)


def test_the_place_of_a_cell() -> None:
    assert table(first=2).place(0) == "t.csv:2"
    assert table(first=2).place(2, "a") == "t.csv:4, column a"
    assert table().place(0) == "t.csv, row 1"
    assert table(skipped=10).place(2, "a") == "t.csv, row 13, column a"


def test_the_place_of_a_cell_of_a_test_file() -> None:
    test = Source(pd.DataFrame({"a": [7, 8]}), Path("test.csv"), first=2)
    joined = table(first=2).joined(test, ["a"])
    assert joined.frame["a"].tolist() == [0, 1, 2, 7, 8]
    assert joined.frame.index.tolist() == [0, 1, 2, 3, 4]
    assert [joined.place(row) for row in range(5)] == [
        "t.csv:2", "t.csv:3", "t.csv:4", "test.csv:2", "test.csv:3",
    ]  # fmt: skip


def test_rows_of_a_test_file_have_the_kinds_of_the_others() -> None:
    own = pd.DataFrame(
        {
            "number": [1.5, 2.5],
            "name": ["a", "b"],
            "flag": [True, False],
            "day": pd.to_datetime(["2024-05-06", "2024-05-07"]),
            "y": [True, False],
        }
    )
    own.attrs[DATE_FORMATS] = {"day": "%d/%m/%Y"}
    other = pd.DataFrame(
        {"number": ["3"], "name": [1.0], "flag": [1], "day": ["08/05/2024"], "y": [0], "more": ["left out"]}
    )
    source = Source(own, Path("t.csv"), 2, unsupported={"list": "list"})
    found = source.joined(Source(other, Path("test.csv"), 2), ["y"])
    assert found.frame["number"].tolist() == [1.5, 2.5, 3.0]
    assert found.frame["name"].tolist() == ["a", "b", "1"]
    assert found.frame["flag"].tolist() == [1.0, 0.0, 1.0]
    assert found.frame["day"].tolist()[2] == pd.Timestamp("2024-05-08")
    assert found.frame["y"].tolist() == [True, False, False]
    assert found.frame["y"].dtype == bool
    assert list(found.frame.columns) == list(own.columns)
    assert (found.first, found.unsupported) == (2, {"list": "list"})
    assert found.frame.attrs == own.attrs
    for change, row in (({"y": [2]}, 2), ({"number": ["x"]}, 2), ({"y": [None]}, 2)):
        with pytest.raises(DataError) as refused:
            source.joined(Source(other.assign(**change), Path("test.csv"), row), ["y"])
        assert refused.value.problems[0].where.startswith("test.csv:2, column")


def test_a_missing_target_of_a_test_file_is_named_by_its_row() -> None:
    test = Source(pd.DataFrame({"a": [7.0, 8.0, None]}), Path("test.csv"), first=2)
    with pytest.raises(DataError) as refused:
        table(first=2).joined(test, ["a"])
    assert refused.value.problems[0].where == "test.csv:4, column a"


def test_a_table_has_rows_and_unique_names() -> None:
    assert checked(table()).frame.shape == (3, 1)
    for frame in (pd.DataFrame({"a": []}), pd.DataFrame(index=[0, 1])):
        with pytest.raises(DataError, match="has no rows"):
            checked(Source(frame, Path("t.csv")))
    with pytest.raises(DataError, match="columns 1, 3"):
        checked(Source(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), Path("t.csv")))


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

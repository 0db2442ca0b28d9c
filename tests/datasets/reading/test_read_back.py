"""Columns in common formats are read correctly, and give the same values when new rows are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets.reading.cells import MISSING
from dlcli.datasets.reading.column import Column, without_dictionaries
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.deciding import decide
from dlcli.datasets.reading.frames import read_frame
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.errors import DataError

# Tables of each kind; more to search for mistakes.
EXAMPLES = int(os.environ.get("DLCLI_EXAMPLES", "12"))

ROWS = 30

# The largest day and a number with two digits after the point, so that there is one reading.
NUMBERS = [*range(-3000, 3000, 157), 1234.25]
DAYS = [datetime(2023, 1, 1) + timedelta(days=day) for day in range(0, 700, 19)] + [datetime(2024, 12, 31)]


def grouped(number: float, thousands: str, decimal: str) -> str:
    return f"{number:,.2f}".translate({ord(","): thousands, ord("."): decimal})


def negative(number: float, written: str) -> str:
    return written if number < 0 else f"{abs(number):.2f}"


FORMATS: dict[str, Callable[[float], str]] = {
    "plain": lambda number: f"{number:.2f}",
    "with plus": lambda number: f"{number:+.2f}",
    "English": lambda number: grouped(number, ",", "."),
    "German": lambda number: grouped(number, ".", ","),
    "Swiss": lambda number: grouped(number, "\u2019", "."),
    "French": lambda number: grouped(number, "\u202f", ","),
    "minus of typography": lambda number: f"{number:.2f}".replace("-", "\u2212"),
    "minus behind": lambda number: negative(number, f"{abs(number):.2f}-"),
    "brackets": lambda number: negative(number, f"({abs(number):.2f})"),
    "dollars": lambda number: (
        grouped(number, ",", ".").replace("-", "-$") if number < 0 else f"${number:,.2f}"
    ),
    "euros": lambda number: grouped(number, ".", ",") + " \u20ac",
    "per cent": lambda number: f"{number:.2f} %",
    "kilograms": lambda number: f"{number:.2f}kg",
    "exponent": lambda number: f"{number:.6e}",
}

PATTERNS = (
    "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y",
    "%B %d, %Y", "%d-%b-%y", "%d%b%Y", "%d%b%y:%H:%M:%S", "%d/%b/%Y:%H:%M:%S +0000", "%a %b %d %H:%M:%S %Y",
    "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S,250", "%m/%d/%Y %I:%M %p", "%Y%m%d",
)  # fmt: skip

GAPS = ("", "NA", "?", "n.a.", "-", "missing", "#DIV/0!")


def place(row: int, column: str) -> str:
    return f"row {row}, column {column}"


def check(written: list[str], kind: str, true: list[Any]) -> None:
    """Assert the values of a column, and that any of its rows are read so by the columns that are saved."""
    cells = [pa.table({"a": written})]
    columns, _ = decide(cells, ReadingOptions(), place)
    assert columns["a"].kind == kind
    whole = columns.read(cells, place)["a"]
    pd.testing.assert_series_equal(
        whole, pd.Series(true, name="a"), check_dtype=False, check_exact=False, rtol=1e-12
    )
    saved = Columns.from_json(json.loads(json.dumps(columns.to_json())))
    for rows in (slice(None, None, 3), slice(0, 1), slice(None)):
        again = saved.read(pa.table({"a": written[rows]}), place)["a"]
        pd.testing.assert_series_equal(again, whole[rows].reset_index(drop=True), check_dtype=False)
    header = pa.chunked_array([pa.array(["a", *written]).dictionary_encode()]).slice(1)
    encoded = [
        pa.table({"a": header})
    ]  # as columns of large files, which are decided on their distinct strings
    assert decide(encoded, ReadingOptions(), place)[0] == columns
    pd.testing.assert_series_equal(columns.read(encoded, place)["a"], whole)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(sorted(FORMATS)),
    st.lists(st.sampled_from(NUMBERS), min_size=ROWS, max_size=ROWS),
    st.sampled_from(GAPS),
    st.sets(st.integers(0, ROWS - 1), max_size=8),
)
def test_numbers_in_common_formats_are_read_back(
    name: str, numbers: list[float], gap: str, rows: set[int]
) -> None:
    numbers = [*numbers, 1234.25, -1234.25]
    written = [gap if row in rows else FORMATS[name](number) for row, number in enumerate(numbers)]
    check(
        written, "numeric", [np.nan if row in rows else float(number) for row, number in enumerate(numbers)]
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(PATTERNS),
    st.lists(st.sampled_from(DAYS), min_size=ROWS, max_size=ROWS),
    st.sampled_from((*GAPS, "NaT", "0000-00-00")),
    st.sets(st.integers(0, ROWS - 1), max_size=8),
)
def test_dates_in_common_formats_are_read_back(
    pattern: str, days: list[datetime], gap: str, rows: set[int]
) -> None:
    days = [*days, *DAYS[-6:]]
    written = [gap if row in rows else day.strftime(pattern) for row, day in enumerate(days)]
    more = timedelta(milliseconds=250 * pattern.endswith("250"))
    true = [pd.NaT if row in rows else day + more for row, day in enumerate(days)]
    check(written, "date", true)


def test_decimals_of_a_file_with_types_become_numbers_unless_they_are_long_whole_ones() -> None:
    def read_as(precision: int, scale: int) -> pa.DataType:
        cells = pa.chunked_array([pa.array([Decimal(1)], pa.decimal128(precision, scale))])
        return without_dictionaries(cells).type

    assert read_as(20, 0) == pa.string(), "an identifier of 20 digits keeps all of them"
    assert read_as(15, 0) == read_as(20, 2) == pa.float64()


def test_a_column_describes_its_role_and_reading() -> None:
    assert Column("n", "numeric", role="left out", why="constant").describe() == "left out: constant"
    assert Column("n", "numeric", role="left out").describe() == "left out"
    assert Column("b", "boolean", words=("yes", "no")).describe() == "feature, boolean, no and yes"
    assert Column("n", "numeric").describe() == "feature, numeric"


def test_untrimmed_words_and_the_place_of_a_cell() -> None:
    columns = Columns((Column("word", "categorical", trim=False), Column("n", "numeric")))
    again = Columns.from_json(json.loads(json.dumps(columns.to_json())))
    assert [column.trim for column in again] == [False, True]
    with pytest.raises(DataError, match="row 2, column n"):
        read_frame(pd.DataFrame({"n": ["1", "many"]}), columns)


def test_columns_of_earlier_versions_take_the_usual_markers() -> None:
    before = (
        *(word for word in MISSING if word != "\\N"),
        "gone",
    )  # recorded before databases' dumps were known
    assert Column("a", "numeric", missing=before).takes_markers
    assert not Column("a", "numeric", missing=("gone",)).takes_markers

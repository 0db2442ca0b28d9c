"""Dates as people write them."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from dlcli.datasets.reading.dates import DateFormat, find_dates, numbers_as_dates


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["2024-01-31", "2024-02-01 13:05"], ["2024-01-31", "2024-02-01 13:05"]),
        (["2024/01/31"], ["2024-01-31"]),
        (["31/12/2024", "01/02/2024"], ["2024-12-31", "2024-02-01"]),
        (["12/31/2024", "1/2/2024"], ["2024-12-31", "2024-01-02"]),
        (["01.02.2024"], ["2024-02-01"]),
        (["01.02.24", "31.12.99"], ["2024-02-01", "1999-12-31"]),
        (["31/12/2024", "31/12/2024 10:00"], ["2024-12-31", "2024-12-31 10:00"]),
        (["31 Jan 2024", "5 MAY 2024"], ["2024-01-31", "2024-05-05"]),
        (["January 5, 2024", "Sept 7, 2024"], ["2024-01-05", "2024-09-07"]),
        (["Wed, 31 Jan 2024"], ["2024-01-31"]),
        (["05-Jan-24"], ["2024-01-05"]),
        (["1/31/2024 3:05 PM", "1/1/2024 3:05 a.m."], ["2024-01-31 15:05", "2024-01-01 03:05"]),
        (["2024Q1", "2023-Q4"], ["2024-01-01", "2023-10-01"]),
        (["Q2 2024"], ["2024-04-01"]),
        (["2024-W05", "2024-W06"], ["2024-01-29", "2024-02-05"]),
        (["2024-01", "2024-02"], ["2024-01-01", "2024-02-01"]),
        (["2024M01"], ["2024-01-01"]),
        (["Jan 2024"], ["2024-01-01"]),
        (["20240131"], ["2024-01-31"]),
        (["2024-07-31 10:00+02:00", "2024-01-31T10:00+01:00"], ["2024-07-31 08:00", "2024-01-31 09:00"]),
    ],
)
def test_one_format_fits_all_dates(written: list[str], meant: list[str]) -> None:
    (found,) = find_dates(pa.array(written))
    assert found.parse(pa.array(written)).to_pylist() == [datetime.fromisoformat(date) for date in meant]


@pytest.mark.parametrize("word", ["soon", "10 apples", "1.2.10", "2023-24", "31/31/2024", "5/6", "1:90"])
def test_other_words_are_no_dates(word: str) -> None:
    assert find_dates(pa.array([word])) == []


def test_days_and_months_that_cannot_be_told_apart() -> None:
    values = pa.array(["01/02/2024", "03/04/2024"])
    day, month = find_dates(values)
    assert (day.order, month.order) == ("day", "month")
    assert [found.parse(values)[0].as_py().month for found in (day, month)] == [2, 1]
    assert find_dates(values, day_first=False) == [month]
    assert day.with_order(False) == month
    assert find_dates(values, given="%m/%d/%Y") == [month]


def test_the_zone_is_kept() -> None:
    zones = {"2024-01-31T10:00Z": "UTC", "2024-01-31 10:00+02:00": "+02:00", "2024-01-31 10:00": ""}
    for written, zone in zones.items():
        assert find_dates(pa.array([written]))[0].zone == zone
    assert find_dates(pa.array(list(zones)[:2]))[0].zone == "mixed"


def test_new_rows_are_read_in_the_format_of_the_training_rows_or_begin_with_the_year() -> None:
    found = DateFormat(("%d/%m/%Y",)).parse(pa.array(["05/06/2024", "2024-07-08", "13/13/2024", None]))
    assert found.to_pylist() == [datetime(2024, 6, 5), datetime(2024, 7, 8), None, None]


@pytest.mark.parametrize(
    ("numbers", "pattern"),
    [
        ([20240131, 20240201], "%Y%m%d"),
        ([202401, 202402], "%Y%m"),
        ([1990, 2024], "%Y"),
        ([1_700_000_000], "epoch s"),
        ([1_700_000_000_000], "epoch ms"),
        ([20241399, 20240101], None),
    ],
)
def test_numbers_as_dates(numbers: list[int], pattern: str | None) -> None:
    found = numbers_as_dates(pa.chunked_array([numbers]))
    assert (found.patterns[0] if found else None) == pattern

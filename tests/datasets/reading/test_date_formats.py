"""Dates as people write them."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from dlcli.datasets.reading import months
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.date_formats import (
    MIDNIGHT,
    DateFormat,
    find_dates,
    numbers_as_dates,
    same_dates,
    some_lack_zone,
    without_wide_years,
)
from dlcli.errors import DataError


def test_times_may_lack_the_fraction_of_a_second_of_the_format() -> None:
    format = DateFormat(("%H:%M:%S.%f",))
    assert format.parse(pa.array(["13:05:00.5", "13:05:00", "x"])).null_count == 1


def test_words_for_the_present_are_not_dates() -> None:
    found = DateFormat().parse(pa.array(["2024-01-31", "today", "now"]))
    assert [value.as_py() for value in found] == [datetime(2024, 1, 31), None, None]


def test_hexadecimal_numbers_are_not_numbers() -> None:
    column = Column("n", "numeric")
    assert column.read(pa.chunked_array([["16", "7"]]), place).tolist() == [16, 7]
    with pytest.raises(DataError, match="is not a number"):
        column.read(pa.chunked_array([["0x10", "7"]]), place)


def place(row: int, column: str) -> str:
    return f"line {row + 2}, column {column}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["2024-01-31", "2024-02-01 13:05"], ["2024-01-31", "2024-02-01 13:05"]),
        (["2024/01/31"], ["2024-01-31"]),
        (["31/12/2024", "01/02/2024"], ["2024-12-31", "2024-02-01"]),
        (["12/31/2024", "1/2/2024"], ["2024-12-31", "2024-01-02"]),
        (["01.02.2024"], ["2024-02-01"]),
        (["2024.01.31", "2023.12.1"], ["2024-01-31", "2023-12-01"]),
        (["31%01%2024"], ["2024-01-31"]),
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
        (["31-12-2024", "01-02-2024"], ["2024-12-31", "2024-02-01"]),
        (["12-31-2024", "01-02-2024"], ["2024-12-31", "2024-01-02"]),
        (["99-12-31", "00-01-02"], ["1999-12-31", "2000-01-02"]),
        (["3. M\u00e4rz 2024", "1. Juli 2024"], ["2024-03-03", "2024-07-01"]),
        (["3 ao\u00fbt 2024", "1 d\u00e9cembre 2024"], ["2024-08-03", "2024-12-01"]),
        (["10 avr. 2024", "11 mai 2024"], ["2024-04-10", "2024-05-11"]),
        (["05-ENE-24", "06-dic-24"], ["2024-01-05", "2024-12-06"]),
        (["20240131T130500", "20240201T000000Z"], ["2024-01-31 13:05", "2024-02-01"]),
        (["2024-01-31 13:05:00+02", "2024-02-01 10:00-03"], ["2024-01-31 11:05", "2024-02-01 13:00"]),
        (["31.01.2024 13:05+02"], ["2024-01-31 11:05"]),
        (["5 de enero de 2024", "17 DE AGOSTO DE 2023"], ["2024-01-05", "2023-08-17"]),
        (["1er janvier 2024"], ["2024-01-01"]),
        (["5 \u044f\u043d\u0432\u0430\u0440\u044f 2024 \u0433."], ["2024-01-05"]),
        (["5 listopada 2024", "3 maja 2024"], ["2024-11-05", "2024-05-03"]),
        (["2024. janu\u00e1r 5."], ["2024-01-05"]),
        (["3. tammikuuta 2024"], ["2024-01-03"]),
        (["1st May 2024", "22nd June 2024"], ["2024-05-01", "2024-06-22"]),
        (["31/Jan/2024:13:05:00 +0100"], ["2024-01-31 12:05"]),
        (["31JAN24:13:05:00"], ["2024-01-31 13:05"]),
        (["Wed Jan 31 13:05:00 2024"], ["2024-01-31 13:05"]),
        (["Wed Oct 10 20:19:24 +0200 2018"], ["2018-10-10 18:19:24"]),
        (["Wed Oct 10 20:19:24 UTC 2018"], ["2018-10-10 20:19:24"]),
        (["2024-01-31 13:05:00,250"], ["2024-01-31 13:05:00.250"]),
        (["2024-07-31 10:00+02:00", "2024-01-31T10:00+01:00"], ["2024-07-31 08:00", "2024-01-31 09:00"]),
    ],
)
def test_one_format_fits_all_dates(written: list[str], meant: list[str]) -> None:
    (found,) = find_dates(pa.array(written))
    assert found.parse(pa.array(written)).to_pylist() == [datetime.fromisoformat(date) for date in meant]


def test_more_dates_than_are_examined_first() -> None:
    dates = [
        f"{day:02}.{month:02}.{year}"
        for year in range(1800, 1980)
        for month in (1, 7)
        for day in range(20, 26)
    ]
    (found,) = find_dates(pa.array(dates))
    assert found.patterns == ("%d.%m.%Y",)
    assert find_dates(pa.array([*dates, "soon"])) == []


@pytest.mark.parametrize("word", ["soon", "10 apples", "1.2.10", "2023-24", "31/31/2024", "5/6", "1:90"])
def test_other_words_are_not_dates(word: str) -> None:
    assert find_dates(pa.array([word])) == []


def test_days_and_months_that_cannot_be_distinguished() -> None:
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
    assert find_dates(pa.array(["Wed Oct 10 20:19:24 +0200 2018"]))[0].zone == "+02:00"


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
        ([4_102_444_799], "epoch s"),  # up to the year 2100
        ([4_102_444_800], "epoch ms"),
        ([20241399, 20240101], None),
    ],
)
def test_whole_numbers_are_dates_only_in_compact_formats(numbers: list[int], pattern: str | None) -> None:
    found = numbers_as_dates(pa.chunked_array([numbers]))
    assert (found.patterns[0] if found else None) == pattern


def test_years_of_two_digits_in_front_that_may_be_days() -> None:
    values = pa.array(["24-01-05", "24-02-17", "23-03-28"])
    assert [found.patterns for found in find_dates(values)] == [("%d-%m-%y",), ("%y-%m-%d",)]
    assert len(find_dates(pa.array(["15-01-01", "16-02-01"]))) == 2
    assert [found.patterns for found in find_dates(values, day_first=True)] == [("%d-%m-%y",)]
    assert [found.patterns for found in find_dates(pa.array(["99-12-31", "00-01-31"]), True)] == [
        ("%y-%m-%d",)
    ]
    assert find_dates(pa.array(["12/31/2024"]), day_first=True) == []
    for either in (["19-01-31", "20-02-29", "23-12-31"], ["21-03-04", "22-03-05"], ["05-01-24", "17-02-24"]):
        both = find_dates(pa.array(either))
        assert "%y-%m-%d" in {found.patterns[0] for found in both}
        assert without_wide_years(both, pa.array(either)) == (both, 0)
    days = pa.array([f"{day:02}-01-24" for day in range(1, 32)])
    found, years = without_wide_years(find_dates(days), days)
    assert ([one.patterns for one in found], years) == ([("%d-%m-%y",)], 30)
    ends = pa.array([f"{year:02}-{month}" for year in range(1, 32) for month in ("03-31", "05-31")])
    assert len(without_wide_years(find_dates(ends), ends)[0]) == 2


def test_dates_without_days_have_no_order() -> None:
    orders = {
        pattern: DateFormat((pattern,)).order for pattern in ("%m/%Y", "%d/%m/%y", "%m/%d/%Y", "%Y-%m-%d")
    }
    assert orders == {"%m/%Y": "", "%d/%m/%y": "day", "%m/%d/%Y": "month", "%Y-%m-%d": ""}


def test_dates_that_are_the_same_in_both_orders() -> None:
    values = pa.array(["05/05/2024", "06/06/2024"])
    assert same_dates(find_dates(values), values)
    for some in (["05/06/2024"], ["01/01/02"]):  # the latter may begin with the year
        assert not same_dates(find_dates(pa.array(some)), pa.array(some))


def test_some_times_without_a_zone_are_noticed() -> None:
    assert some_lack_zone(pa.array(["2024-01-31 10:00Z", "2024-01-31 10:00"]))
    assert not some_lack_zone(pa.array(["2024-01-31 10:00Z", "2024-01-31 10:00+02:00", "2024-01-31"]))


@pytest.mark.parametrize(
    ("number", "pattern", "meant"),
    [
        (1_706_706_300, "epoch s", "2024-01-31 13:05"),
        (1_706_706_300_000, "epoch ms", "2024-01-31 13:05"),
        (1_706_706_300_000_000, "epoch us", "2024-01-31 13:05"),
        (1_706_706_300.0, "epoch s", "2024-01-31 13:05"),
        (20240131130500, "%Y%m%d%H%M%S", "2024-01-31 13:05"),
        (202401, "%Y%m", "2024-01-01"),
    ],
)
def test_numbers_that_are_dates(number: float, pattern: str, meant: str) -> None:
    found = numbers_as_dates(pa.chunked_array([[number]]))
    assert found is not None
    assert found.patterns == (pattern,)
    assert found.parse(pa.array([f"{number:.0f}"]))[0].as_py() == datetime.fromisoformat(meant)


def test_no_month_has_the_name_of_another_one_in_another_language() -> None:
    names = [word for words in months._NAMES.values() for word in words.split()]
    assert len(names) == len(set(names))
    written = pa.array([f"1 {name} 2024" for name in names])
    read = find_dates(pa.array(["1 Jan 2024", "1 Juli 2024"]))[0].parse(written)
    assert read.null_count == 0
    english = [month[:3] for month, words in months._NAMES.items() for _ in words.split()]
    assert [f"{date:%b}" for date in read.to_pylist()] == english


def test_months_that_are_others_in_croatian_need_a_name_that_is_not() -> None:
    for name in ("listopad", "listopada", "lis", "lip", "srp"):
        assert find_dates(pa.array([f"5 {name} 2024"])) == []
    assert DateFormat(("%d %B %Y",)).parse(pa.array(["5 listopada 2024"]))[0].as_py() == datetime(2024, 11, 5)


@pytest.mark.parametrize("time", [" 00:00:00", "T00:00", " 00:00:00.000", " 00:00 "])
def test_midnights_in_several_zones_are_days(time: str) -> None:
    """Stock prices of New York, as yfinance writes them: the offset from UTC is another one in summer."""
    (found,) = find_dates(pa.array([f"2024-03-08{time}-05:00", f"2024-03-11{time}-04:00"]))
    assert (found.patterns, found.zone) == ((MIDNIGHT,), "")
    read = found.parse(pa.array([f"2024-03-11{time}-04:00", "2024-03-12", "2024-03-12T09:30:00-04:00"]))
    assert read.to_pylist() == [datetime(2024, 3, 11), datetime(2024, 3, 12), None]
    for other in ("2024-03-11 00:30-04:00", "2024-03-11 00:00"):
        assert find_dates(pa.array(["2024-03-08 00:00-05:00", other]))[0].zone == "mixed"
    assert find_dates(pa.array(["2024-03-08 00:00-05:00", "2024-03-09 00:00-05:00"]))[0].zone == "-05:00"

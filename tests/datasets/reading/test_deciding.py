"""Inference of the kinds of columns, each from all of its values."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.deciding import decide
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.errors import DataError, Problem


def place(row: int, column: str) -> str:
    return f"row {row} of {column}"


def decided(
    table: dict[str, Any], separator: str = ",", **options: Any
) -> tuple[Columns, tuple[Problem, ...], pd.DataFrame]:
    cells = [pa.table(table)]
    columns, warnings = decide(cells, ReadingOptions(**options), place, separator)
    frame = columns.read(cells, place)
    cells = [encoded(table)]
    assert decide(cells, ReadingOptions(**options), place, separator) == (columns, warnings)
    pd.testing.assert_frame_equal(columns.read(cells, place), frame)
    return columns, warnings, frame


def refused(table: dict[str, Any], separator: str = ",", **options: Any) -> list[Problem]:
    found = []
    for cells in (pa.table(table), encoded(table)):
        with pytest.raises(DataError) as caught:
            columns, _ = decide([cells], ReadingOptions(**options), place, separator)
            columns.read(cells, place)
        found.append(list(caught.value.problems))
    assert found[0] == found[1]
    return found[0]


def encoded(table: dict[str, Any]) -> pa.Table:
    """Return a table with its strings as dictionaries, as in large files, with strings that no row has."""
    columns = {name: pa.chunked_array([pa.array(values)]) for name, values in table.items()}
    return pa.table(
        {
            name: pa.chunked_array([pa.array([name, *values.to_pylist()]).dictionary_encode()]).slice(1)
            if pa.types.is_string(values.type)
            else values
            for name, values in columns.items()
        }
    )


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        (["1", "2", ""], "numeric", [1.0, 2.0, None]),
        ([" 1.5 ", "2"], "numeric", [1.5, 2.0]),
        (["TRUE", "FALSE", "NA"], "boolean", [1.0, 0.0, None]),
        (["true", "False"], "boolean", [True, False]),
        (["yes", "no"], "categorical", ["yes", "no"]),
        (["01", "1", "02"], "categorical", ["01", "1", "02"]),
        (["12345678901234567890", "12345678901234567891"], "categorical", None),
        ([2**60, 2**60 + 1], "categorical", [str(2**60), str(2**60 + 1)]),
        (["2024-01-31", "?"], "date", [pd.Timestamp("2024-01-31"), None]),
        (["1.5", "n.a.", "-"], "numeric", [1.5, None, None]),
        (["13:05", "8:30"], "date", None),
        ([True, None], "boolean", [1.0, None]),
        ([1.0, 2.5], "numeric", [1.0, 2.5]),
        (["0x10", "0x11"], "categorical", ["0x10", "0x11"]),
        (["20240101", "20240102", "20240103", "20240104", "20240105", "n.a."], "date", None),
        (["01", "02", "n.a."], "categorical", ["01", "02", "n.a."]),
        (["+4930123456", "n.a."], "categorical", ["+4930123456", "n.a."]),
        (["123-", "200-"], "categorical", ["123-", "200-"]),
        (["123-", "200"], "numeric", [-123, 200]),
        (["+5", "-3", "12"], "numeric", [5, -3, 12]),
        (["+4930123456", "+4930123457"], "categorical", ["+4930123456", "+4930123457"]),
        (["2024-01-31", "NaT", "0000-00-00"], "date", [pd.Timestamp("2024-01-31"), None, None]),
    ],
)
def test_a_column_is_what_all_its_values_are(values: list[Any], kind: str, read: list[Any] | None) -> None:
    columns, _, frame = decided({"a": values})
    assert columns["a"].kind == kind
    if read is not None:
        assert frame["a"].astype(object).where(frame["a"].notna(), None).tolist() == read


def test_what_fits_two_readings_is_decided_by_the_other_columns_or_refused() -> None:
    ambiguous = ["1.327", "998", "2.600"]
    (problem,) = refused({"a": ambiguous})
    assert problem.where == "row 0 of a"
    assert "(1.327, 2.6, 998) or (1327, 2600, 998)" in problem.message
    assert """'dataset.decimal="."' for (1.327""" in problem.hint
    assert decided({"a": ambiguous, "b": ["1.5"] * 3})[2]["a"].tolist() == [1.327, 998.0, 2.6]
    columns, (told,), frame = decided({"a": ambiguous, "b": ["1,5"] * 3}, ";")
    assert frame["a"].tolist() == [1327, 998, 2600]
    assert (told.where, told.message) == ("column a", "1.327 is read as 1327, not as 1.327")
    assert told.hint == """If it is not, set 'dataset.decimal="."'."""
    assert columns.panel()["read"].startswith("a: numbers like 1.234,5")
    assert decided({"a": ambiguous}, decimal=",")[2]["a"].tolist() == [1327, 998, 2600]
    assert decided({"a": ambiguous}, thousands=".")[2]["a"].tolist() == [1327, 998, 2600]


def test_an_english_table_needs_no_key() -> None:
    _, (told,), frame = decided({"a": ["1,250", "998"]})
    assert frame["a"].tolist() == [1250, 998]
    assert told.message == "1,250 is read as 1250, not as 1.25"
    assert refused({"a": ["1,250", "998"]}, ";")
    assert decided({"a": ["1.125", "2.375"]})[2]["a"].tolist() == [1.125, 2.375]
    assert refused({"a": ["1.125", "2.375"]}, ";")


def test_days_and_months_are_decided_on_the_whole_column_or_refused() -> None:
    months = [f"01/{month:02}/2024" for month in range(1, 13)]
    (problem,) = refused({"d": months})
    assert (
        problem.message
        == "01/02/2024, 01/03/2024 may be (2024-02-01, 2024-03-01) or (2024-01-02, 2024-01-03)"
    )
    assert "dataset.day_first=true for (2024-02-01, 2024-03-01)" in problem.hint
    assert decided({"d": months}, day_first=True)[2]["d"].dt.month.tolist() == [*range(1, 13)]
    assert decided({"d": months}, day_first=False)[2]["d"].dt.day.tolist() == [*range(1, 13)]
    assert decided({"d": months}, date_format="%d/%m/%Y")[2]["d"].dt.month.tolist() == [*range(1, 13)]
    _, (told,), frame = decided({"d": months, "e": ["31/12/2024"] * 12})
    assert frame["d"].dt.month.tolist() == [*range(1, 13)]
    assert told.hint.endswith("set dataset.day_first=false.")


def test_a_late_change_of_style_is_refused_and_not_read_as_text() -> None:
    (problem,) = refused({"a": [f"{number}.5" for number in range(900)] + ["1,5"]})
    assert (problem.where, problem.message) == (
        "row 900 of a", "numbers of this column are written in two formats: '0.5' and '1,5'",
    )  # fmt: skip
    assert "dataset.types={a: categorical}" in problem.hint
    assert decided({"a": ["5 %", "0.5"]}, types={"a": "categorical"})[2]["a"].tolist() == ["5 %", "0.5"]
    assert refused({"a": ["5 %", "0.5"]})
    mixed = {"a": ["1'000", "1,5", "2.5", "gone"]}
    assert refused(mixed, types={"a": "numeric"}, thousands="'")[0].where == "row 1 of a"


def test_categories_of_numbers_are_numbers_only_if_the_user_says_so() -> None:
    coded = {"a": pa.array([1, 2, 1]).dictionary_encode()}
    assert decided(coded)[0]["a"].kind == "categorical"
    assert decided(coded, types={"a": "numeric"})[0]["a"].kind == "numeric"


def test_words_among_numbers_are_named() -> None:
    values = [str(number) for number in range(60)] + ["gone"] * 10
    columns, (told,), _ = decided({"a": values})
    assert (columns["a"].role, columns["a"].why) == ("left out", "text")
    assert told.where == "row 60 of a"
    assert told.message.startswith("'gone' is not a number, and 9 more like it")
    assert "'dataset.missing_values=[gone]'" in told.hint
    assert "and 1 more like it" in decided({"a": values[:62]})[1][0].message
    assert decided({"a": values}, missing=["gone"])[2]["a"].isna().sum() == 10
    columns, _, frame = decided({"a": ["1.5"] * 60 + ["n.a."] * 10})
    assert (frame["a"].isna().sum(), columns["a"].note) == (10, "10 cells 'n.a.' as missing")


def test_missing_values_can_be_words() -> None:
    words = {"a": ["None", "NA", "x"]}
    assert decided(words)[2]["a"].isna().tolist() == [True, True, False]
    assert decided(words, missing=[])[2]["a"].tolist() == ["None", "NA", "x"]
    assert decided({**words, "b": ["NA", "1", "2"]}, missing={"a": []})[2].isna().sum().tolist() == [0, 1]


def test_blanks_around_words_are_removed_unless_they_are_meant() -> None:
    words = {"a": [" No", "No", "Yes", "Yes ", "yes"]}
    columns, (told,), frame = decided(words)
    assert frame["a"].tolist() == ["No", "No", "Yes", "Yes", "yes"]
    assert columns["a"].note == "blanks around words removed"
    assert told.message == "'Yes' and 'yes' differ only in case"
    assert decided(words, trim=False)[2]["a"].tolist() == words["a"]


def test_the_word_of_the_user_wins() -> None:
    zips = [f"{number:05}" for number in range(100)]
    assert decided({"zip": zips})[0]["zip"].why == "identifier"
    assert decided({"zip": zips}, types={"zip": "categorical"})[0]["zip"].role == "feature"
    assert decided({"b": ["yes", "no", "YES"]}, types={"b": "boolean"})[2]["b"].tolist() == [
        True,
        False,
        True,
    ]
    (problem,) = refused({"b": ["yes", "maybe"]}, types={"b": "boolean"})
    assert "these are yes, maybe" in problem.message
    (problem,) = refused({"a": ["1", "x"]}, types={"a": "numeric"})
    assert (problem.where, problem.message) == ("row 1 of a", "'x' is not a number")
    assert decided({"b": ["true", "false"]}, types={"b": "numeric"})[2]["b"].tolist() == [True, False]
    days = ["20240131", "20240201"]
    assert decided({"d": days}, types={"d": "date"})[2]["d"].dt.month.tolist() == [1, 2]
    assert decided({"d": [1_700_000_000]}, types={"d": "date"})[2]["d"].dt.year.tolist() == [2023]


def test_new_rows_are_read_as_the_training_rows() -> None:
    table = {
        "n": ["1.234,5", "2"],
        "d": ["31/12/2024", "01/02/2024"],
        "c": ["1", "2"],
        "b": ["TRUE", "NA"],
    }
    columns, _, _ = decided(table, types={"c": "categorical"})
    columns = Columns.from_json(columns.counted(pd.DataFrame({"c": ["1", "2"]})).to_json())
    new = pa.table({"n": [1234.5, None], "d": ["05/06/2024", None], "c": [1.0, 3.0], "b": [True, False]})
    frame = columns.read(new, place)
    assert frame["n"].tolist()[0] == 1234.5
    assert frame["d"][0] == pd.Timestamp("2024-06-05")
    assert frame["c"].tolist() == ["1", "3"]
    assert columns.unseen(frame) == {"c": 1}
    assert columns.read(pa.table({"c": ["1.0", " 2"]}), place)["c"].tolist() == ["1", "2"]
    with pytest.raises(DataError, match=r"row 0 of n: '1\.5' is not a number written like 1\.234,5"):
        columns.read(pa.table({"n": ["1.5"]}), place)
    english = ReadingOptions(decimal=".").applied_to(columns)
    assert english.read(pa.table({"n": ["1,250.5"]}), place)["n"].tolist() == [1250.5]
    american = ReadingOptions(day_first=False).applied_to(columns)
    assert american.read(pa.table({"d": ["05/06/2024"]}), place)["d"][0] == pd.Timestamp("2024-05-06")


def test_spellings_of_a_category_follow_the_training_rows() -> None:
    columns, _, _ = decided({"c": ["TRUE", "FALSE", "maybe"]})
    known = columns.counted(pd.DataFrame({"c": ["TRUE", "FALSE"]}))
    assert known.read(pa.table({"c": [True, False]}), place)["c"].tolist() == ["TRUE", "FALSE"]
    assert known.read(pa.table({"c": ["true"]}), place)["c"].tolist() == ["TRUE"]


def test_numbers_can_denote_missing_values() -> None:
    for values in (["1.5", "-999.0", "2"], [1.5, -999.0, 2.0], [1, -999, 2]):
        assert decided({"a": values}, missing={"a": [-999]})[2]["a"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("values", "pattern"), [(["00:30", "13:45"], "%H:%M"), (["1:30 pm", "2:00 am"], "%I:%M %p")]
)
def test_times_of_day_are_reported(values: list[str], pattern: str) -> None:
    columns, *_ = decided({"at": values, "y": [1, 2]})
    assert columns.panel() == {"read": f"at: times of day as dates of 1900-01-01, {pattern}"}


def test_values_that_keep_a_column_from_being_dates_are_named() -> None:
    values = [f"2024-01-{day:02}" for day in range(1, 32)] * 2 + ["2024-02-30"]
    _, (told,), _ = decided({"a": values})
    assert told.where == "row 62 of a"
    assert told.message.startswith("'2024-02-30' is not a date: the column is not read as dates")


def test_dates_that_are_the_same_in_both_orders_are_reported() -> None:
    same = [f"{month:02}/{month:02}/2024" for month in range(1, 8)]
    columns, (told,), frame = decided({"a": same})
    assert "days and months are equal in all rows" in told.message
    assert told.hint == "If it is not, set dataset.day_first=false."
    assert frame["a"].dt.month.tolist() == [*range(1, 8)]
    columns, (told,), _ = decided({"a": same, "b": ["12/31/2024"] * 7})
    assert columns["a"].date.order == "month"
    assert decided({"a": same}, day_first=False)[1] == ()


def test_years_of_two_digits_in_front_are_refused_with_the_key() -> None:
    values = [f"24-{month:02}-{month + 15}" for month in range(1, 13)]
    (problem,) = refused({"a": values})
    assert "(2015-01-24" not in problem.message
    assert "(2024-01-16, 2024-02-17)" in problem.message
    assert """'dataset.date_format={a: "%y-%m-%d"}'""" in problem.hint
    assert decided({"a": values}, date_format={"a": "%y-%m-%d"})[2]["a"].dt.year.tolist() == [2024] * 12


def test_long_numbers_with_a_mark_keep_their_digits() -> None:
    values = ["12345678901234567890", "12345678901234567891", "n.a."]
    assert decided({"a": values})[2]["a"].tolist() == values
    assert decided({"a": ["123-", "200-"]}, types={"a": "numeric"})[2]["a"].tolist() == [-123, -200]
    assert decided({"a": ["1.5", "123.5-"]})[0].panel() == {"read": "a: 123.5- as -123.5"}
    assert decided({"a": ["1.5", "(0.13)"]})[0].panel() == {"read": "a: (0.13) as -0.13"}


def test_days_in_front_that_would_be_years_of_three_decades_are_reported() -> None:
    values = [f"{day:02}-0{month}-24" for month in (5, 7) for day in range(1, 32)]
    columns, (told,), _ = decided({"a": values})
    assert columns["a"].date.patterns == ("%d-%m-%y",)
    assert told.message.endswith("2024-05-01; beginning with the year, the dates would span 30 years")
    assert """set 'dataset.date_format={a: "%y-%m-%d"}'.""" in told.hint
    assert decided({"a": values}, day_first=True)[1] == ()


def test_a_hint_names_no_format_that_would_not_decide() -> None:
    (problem,) = refused({"a": ["21-03-04", "22-03-05 10:00", "23-03-06"]})
    assert "date_format" not in problem.hint
    assert problem.hint.startswith("Set dataset.day_first=true for (2004-03-21")
    assert problem.hint.endswith("; or write years with four digits.")


def test_the_format_of_a_column_holds_for_all_its_values() -> None:
    for values in (["01/02/2024", "03.04.2024"], ["20240131", "20240201"], ["soon", "later"]):
        (problem,) = refused({"a": values}, date_format={"a": "%d/%m/%Y"})
        assert (
            f"{values[1 if '/' in values[0] else 0]!r} is not a date in the format %d/%m/%Y"
            in problem.message
        )
    assert decided({"a": [20240131]}, date_format={"a": "%Y%m%d"})[0]["a"].kind == "date"
    assert decided({"a": ["31.12.2024"]}, date_format="%d/%m/%Y")[0]["a"].date.patterns == ("%d.%m.%Y",)


def test_a_column_of_dates_in_the_order_of_most_is_reported() -> None:
    values = [f"{month:02}/{day:02}/2024" for day in range(1, 31) for month in (4, 6)] + ["02/30/2024"]
    _, (told,), _ = decided({"a": values})
    assert (told.where, told.message[:29]) == ("row 60 of a", "'02/30/2024' is not a date: t")


def test_new_whole_numbers_are_dates_in_the_format_of_the_column_alone() -> None:
    columns, *_ = decided({"a": [20240101 + day for day in range(6)]})
    with pytest.raises(DataError, match=r"1706706300.? is not a date"):
        columns.read([pa.table({"a": [1_706_706_300]})], place)


@pytest.mark.parametrize("values", [["1706706300"], [1_706_706_300], [1_706_706_300.0], ["1706706300000"]])
def test_numbers_that_the_user_calls_dates(values: list[Any]) -> None:
    columns, _, frame = decided({"a": values}, types={"a": "date"})
    assert columns["a"].kind == "date"
    assert frame["a"].tolist() == [pd.Timestamp("2024-01-31 13:05")]


def test_the_zone_of_typed_times_is_kept() -> None:
    times = pa.array([0, 1], pa.timestamp("s", "Europe/Berlin"))
    columns, _, frame = decided({"a": times})
    assert columns["a"].date.zone == "Europe/Berlin"
    assert frame["a"].tolist() == [pd.Timestamp(0), pd.Timestamp(1, unit="s")]


def test_times_of_which_some_lack_the_zone_are_reported() -> None:
    _, (told,), _ = decided({"a": ["2024-01-31 10:00Z", "2024-01-31 10:00"]})
    assert told.message == "some times have a zone, others have none and are read as UTC"


def test_the_case_of_parts_does_not_matter() -> None:
    assert decided({"part": ["Train", "train"]}, parts=["part"])[1] == ()
    assert len(decided({"part": ["Train", "train"]})[1]) == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([f"{number}.5M" for number in range(20)], "'0.5M' and values like it look like numbers"),
        ([f"${number} kg" for number in range(20)], "'$0 kg' and values like it look like numbers"),
        ([f">{number}" for number in range(20)], "'>0' and values like it look like numbers"),
        ([f"{30 + number}:07" for number in range(20)], "'30:07' and values like it look like durations"),
        ([f"Jan-{number:02}" for number in range(20)], "'Jan-00' and values like it look like dates"),
        (
            [f"{number + 1:02}.01.2024 10:00 Uhr" for number in range(20)],
            "look like dates, but are read as words",
        ),
        (
            [f"{number}.5{' kg' * (number % 2)}" for number in range(20)],
            "in several formats, such as '0.5' and '1.5 kg'",
        ),
        ([f"{number}E5" for number in range(10, 30)], "10E5 is read as the number 1e+06"),
        (["new york", "new\u00a0york"] * 10, "only in case, blanks, invisible characters or punctuation"),
    ],
    ids=[
        "suffixes",
        "two units",
        "censored",
        "durations",
        "months",
        "words behind dates",
        "units missing",
        "codes",
        "blanks",
    ],
)
def test_values_that_look_like_something_else_are_reported(values: list[str], told: str) -> None:
    _, warnings, _ = decided({"a": values})
    assert told in " ".join(problem.message for problem in warnings)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (range(19000101, 19000107), "date"),
        (range(21001225, 21001232), "date"),
        ([18991231, *range(19000101, 19000107)], "numeric"),
        ([*range(21001225, 21001232), 21010101], "numeric"),
    ],
)
def test_compact_dates_lie_between_1900_and_2100(values: list[int], kind: str) -> None:
    assert decided({"a": list(values)})[0]["a"].kind == kind


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (["2024-W05-3", "2024-W06-1"], "%G-W%V-%u"),
        (["2024-W05", "2024-W06"], "%G-W%V"),
        (["2024W053", "2024W061"], "%GW%V%u"),
    ],
)
def test_weeks_of_the_year(values: list[str], pattern: str) -> None:
    columns, _, frame = decided({"a": values})
    assert columns["a"].date.patterns == (pattern,)
    assert frame["a"][0] == pd.Timestamp(2024, 1, 31 if values[0].endswith("3") else 29)


@pytest.mark.parametrize(
    ("values", "words", "note"),
    [
        (["YES", "Yes", "yes", "no", "No", "NO"], ("no", "yes"), "booleans, yes is true"),
        (["off", "on"], ("off", "on"), "booleans, on is true"),
        (["1", "0"], ("0", "1"), ""),
        (["False", "true"], ("false", "true"), ""),
    ],
)
def test_which_word_of_a_boolean_is_true_is_reported(
    values: list[str], words: tuple[str, str], note: str
) -> None:
    column = decided({"a": values}, types={"a": "boolean"})[0]["a"]
    assert (column.words, column.note) == (words, note)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["Red", "red", "RED", "blue"], "'Red' and 'red' and 'RED' differ only in case"),
        (
            ["Red", "red", "Blue", "blue", "green"],
            "'Red' and 'red' differ only in case, and 1 more like them",
        ),
        (["X", "x", "Y", "y", "Z", "z"], "'X' and 'x' differ only in case, and 2 more like them"),
        (
            ["<=50K", "<=50K.", ">50K"],
            "'<=50K' and '<=50K.' differ only in case, blanks, invisible characters or punctuation",
        ),
        (
            ["a-b", "a\u2013b", "O'Hara", "O\u2019Hara", "Stra\u00dfe", "STRASSE", "\u201cx\u201d", '"x"'],
            r"'a-b' and 'a\u2013b' differ only in case, blanks, invisible characters or punctuation, "
            "and 3 more like them",
        ),
    ],
)
def test_the_number_of_words_that_differ_only_in_case_is_reported(values: list[str], told: str) -> None:
    assert [problem.message for problem in decided({"a": values * 3})[1]] == [told]


def test_numbers_that_may_have_a_thousands_point_are_reported() -> None:
    table = {"p": ["1.327", "998", "2.600"], "x": ["0.5", "1.25", "2.5"]}
    _, (told,), frame = decided(table)
    assert (told.where, told.message) == ("column p", "1.327 is read as 1.327, not as 1327")
    assert told.hint == """If it is not, set 'dataset.thousands="."'."""
    assert frame["p"].tolist() == [1.327, 998, 2.6]
    _, warnings, frame = decided(table, thousands=".")
    assert (frame["p"].tolist(), frame["x"].tolist(), warnings) == ([1327, 998, 2600], [0.5, 1.25, 2.5], ())


def test_numbers_of_which_some_have_a_unit_are_no_text_that_is_left_out() -> None:
    numbers = [f"{number}.5{' kg' * (number >= 80)}" for number in range(90)]
    (problem,) = refused({"w": numbers})
    assert problem.message == "numbers of this column are written in two formats: '0.5' and '80.5 kg'"
    assert problem.where == "row 80 of w"


def test_long_whole_numbers_are_words_unless_the_user_calls_them_numbers() -> None:
    table = {"id": [2**53 + 1, 2**53 + 3, 5]}
    assert decided(table)[0]["id"].note == "words, since its numbers are too long to be exact"
    assert decided(table, types={"id": "numeric"})[0]["id"].kind == "numeric"


def test_a_format_of_the_user_holds_beside_missing_values() -> None:
    dates = {"day": ["01022021", "n.a.", "31122020"]}
    for date_format in ({"day": "%d%m%Y"}, "%d%m%Y"):
        _, _, frame = decided(dates, types={"day": "date"}, date_format=date_format)
        assert frame["day"].tolist() == [pd.Timestamp("2021-02-01"), pd.NaT, pd.Timestamp("2020-12-31")]


def test_sentences_are_a_feature_and_identifiers_are_not() -> None:
    columns, _, _ = decided(
        {"said": [f"the cat has {n} lives" for n in range(60)], "id": [f"x{n}" for n in range(60)]}
    )
    assert [(one.kind, one.role, one.why) for one in columns] == [
        ("text", "feature", "text"), ("text", "left out", "identifier"),
    ]  # fmt: skip


def test_new_rows_of_a_boolean_may_have_false_and_true() -> None:
    whole = Column("b", "boolean", words=("no", "yes"))
    assert whole.read(pa.chunked_array([[True, False]]), place).tolist() == [1, 0]
    with pytest.raises(DataError, match="row 2 of b: 2 is neither true nor false"):
        whole.read(pa.chunked_array([[0, 1, 2]]), place)
    columns, _, _ = decided({"ok": ["ja", "nein", "ja"]}, types={"ok": "boolean"})
    new = pa.table({"ok": ["True", "false", "1.0", "0", "Ja"]})
    assert columns.read(new, place)["ok"].tolist() == [True, False, True, False, True]


def test_a_format_that_is_shown_for_dates_reads_them() -> None:
    dates = [f"2024\u5e74{month}\u67085\u65e5" for month in range(1, 13)]
    _, (told,), _ = decided({"d": dates})
    assert "%Y\u5e74%m\u6708%d\u65e5" in told.hint
    assert decided({"d": dates}, date_format="%Y\u5e74%m\u6708%d\u65e5")[0]["d"].kind == "date"
    assert "dates" not in str(decided({"d": [f"~{number}.1" for number in range(1200, 1240)]})[1])

"""The table "How cells are read" of docs/data.md is true, line by line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dlcli.datasets.notices import warnings_of
from dlcli.datasets.table import load
from dlcli.errors import DataError

DOCS = Path(__file__).parents[3] / "docs" / "data.md"
MONTHS = ["31 Jan 2024", "3 Feb 2024", "14 Mar 2024"]
WORDS = [f"item{number}" for number in range(12)]
WARNED = "with a warning"

# For each line, by the beginning of its first cell: values of a column a, what it is read as ("refused" for an error),
# options, and whether a warning is given by the reading (`check` gives more). A tuple of values
# stands for several columns.
CASES: dict[str, list[tuple[Any, str, dict[str, Any], str]]] = {
    "`1.5`, `+5`": [
        (["1.5", "+5", "1.5e3"], "numeric", {}, ""),
        ([f"+4930123456{number:02}" for number in range(20)], "categorical text identifier", {}, ""),
    ],
    "`1.234,56`": [
        (["1.234,56", "0,5", "12"], "numeric", {}, ""),
        (["1,250", "2,000.5"], "numeric", {}, ""),
        (["1 234,56", "2 000,5"], "numeric", {}, ""),
        (["1'234.50", "12.5"], "numeric", {}, ""),
    ],
    "`1.327`, `998`": [
        (["1.327", "998", "2.600"], "refused", {}, ""),
        (["1.327", "998", "2.600"], "numeric", {"decimal": "."}, ""),
        (["1.327", "998", "2.600"], "numeric", {"thousands": "."}, ""),
        ((["1.327", "998", "2.600"], ["1.5", "2.5", "3.5"]), "numeric", {}, WARNED),
    ],
    "`$5,000`": [
        (["$5,000", "$12.50", "7"], "numeric", {}, ""),
        (["Rs. 5,000", "Rs. 12.50", "7"], "numeric", {}, ""),
        (["12 %", "5 %"], "numeric", {}, ""),
        (["5 kg", "7.5 kg"], "numeric", {}, ""),
        (["(123)", "45"], "numeric", {}, ""),
        (["123.45-", "45.5"], "numeric", {}, ""),
        (["123-", "45-", "7-"], "categorical", {}, ""),
        (["Fr. 12.-", "Fr. 1'250.-", "Fr. 7.50"], "numeric", {}, ""),
        (["12,-", "7,50"], "numeric", {}, ""),
    ],
    "`1.1` and `1.10`": [
        (["1.1", "1.10", "1.9"], "numeric", {}, WARNED),
        (["1.0", "1", "2.5"], "numeric", {}, ""),
        ([f"{number}.5" for number in range(60)] + ["1.50"], "numeric", {}, ""),
    ],
    "`1.5` and later `1,5`": [
        (["1.5", "2.25", "1,5"], "refused", {}, ""),
        (["12 %", "0.12", "7 %"], "refused", {}, ""),
        ([f"{number}{' kg' * (number % 2)}" for number in range(200)], "refused", {}, ""),
    ],
    "`01` and `1`": [
        (["01", "1", "02"], "categorical", {}, ""),
        ([str(2**53 + 1), str(2**53 + 3), str(2**53 + 1)], "categorical", {}, ""),
    ],
    "`2024-01-31`, with a time": [
        (["2024-01-31", "2024-02-28"], "date", {}, ""),
        (["2024-01-31 13:05", "2024-02-28 10:00:30"], "date", {}, ""),
        (["2024-01-31T13:05:00+02:00", "2024-02-28T10:00:00Z"], "date", {}, ""),
    ],
    "`31/12/2024`": [
        (["31/12/2024", "01/02/2024"], "date", {}, ""),
        (["12-31-24", "01-02-24"], "date", {}, ""),
        (["31.12.2024", "01.02.2024"], "date", {}, ""),
        (MONTHS, "date", {}, ""),
        (["3. M\u00e4rz 2024", "14. Mai 2024"], "date", {}, ""),
        (["5 de enero de 2024", "7 de marzo de 2024"], "date", {}, ""),
        (["May 1st, 2024", "June 2nd, 2024"], "date", {}, ""),
        (["31JAN24:13:05:00", "01FEB24:10:00:00"], "date", {}, ""),
        (["3:05 PM", "11:30 AM"], "date", {}, ""),
    ],
    "`Jan-24`": [
        ([f"Jan-{number:02}" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"{number}.5D+03" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"{number}.5M" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f">{number}" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"0x{number:x}f" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"{number}:30" for number in range(26, 46)], "categorical text identifier", {}, WARNED),
        ([f"{number}:30:00" for number in range(0, 46)], "categorical text identifier", {}, WARNED),
        ([f"PT{number}M" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"{number} days 10:00:00" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"{number} 1/4" for number in range(20)], "categorical text identifier", {}, WARNED),
        ([f"5'{number}\"" for number in range(12)], "categorical text identifier", {}, WARNED),
        (["5", "5 kg", "7"] * 5, "categorical", {}, ""),
    ],
    "`31122024` and": [
        ([f"{number:02}012024" for number in range(1, 21)], "categorical text identifier", {}, WARNED),
        ([f"{number:02}012024" for number in range(1, 21)], "date", {"date_format": "%d%m%Y"}, ""),
        ([f"{number:02}672024" for number in range(1, 21)], "categorical text identifier", {}, ""),
        ([f"{number}.12." for number in range(1, 21)], "categorical text identifier", {}, WARNED),
        ([f"KW{number:02}/2024" for number in range(1, 21)], "categorical text identifier", {}, WARNED),
        ([f"2024-01-{n:02} 13:05 CET" for n in range(1, 21)], "categorical text identifier", {}, WARNED),
        ([f"2024/{number}/01" for number in range(1, 21)], "categorical text identifier", {}, WARNED),
    ],
    "`12E5` and the like": [([f"{number}E5" for number in range(10, 30)], "numeric", {}, WARNED)],
    "`01/02/2024` where": [
        (["01/02/2024", "03/04/2024"], "refused", {}, ""),
        (["01/02/2024", "03/04/2024"], "date", {"day_first": True}, ""),
        ((["01/02/2024", "03/04/2024"], ["31/01/2024", "30/04/2024"]), "date", {}, WARNED),
        (["01/01/2024", "02/02/2024"], "date", {}, WARNED),
    ],
    "`24-01-31`": [
        (["24-01-31", "25-02-28"], "refused", {}, ""),
        (["04-01-31", "15-02-28", "31-12-28"], "date", {}, WARNED),
    ],
    "times of which only some": [
        (["2024-01-31 10:00+01:00", "2024-01-31 11:00", "2024-01-31 12:00+01:00"], "date", {}, WARNED)
    ],
    "`20240131`, `202401311305`": [
        ([f"202401{day}" for day in range(11, 16)], "date", {}, ""),
        ([f"202401{day}" for day in range(11, 15)], "numeric", {}, ""),
        ([f"202401{day}1305" for day in range(11, 16)], "date", {}, ""),
        ([f"202401{day}130559" for day in range(11, 16)], "date", {}, ""),
        ([f"202401{day}139959" for day in range(11, 16)], "numeric", {}, ""),
        (["20240131T130500", "20240201T000000"], "date", {}, ""),
        (["2024-01", "2024-02"], "date", {}, ""),
        (["2024Q1", "2024Q2"], "date", {}, ""),
        (["2024-W05", "2024-W06"], "date", {}, ""),
        (["13:45", "8:05"], "date", {}, ""),
    ],
    "`2024-03-08 00:00:00-05:00` beside": [
        (["2024-03-08 00:00:00-05:00", "2024-03-11 00:00:00-04:00"], "date", {}, ""),
    ],
    "seconds (or milliseconds": [
        ([str(1_700_000_000 + number) for number in range(9)], "numeric", {}, ""),
        ([str(1_700_000_000 + number) for number in range(9)], "date", {"types": {"a": "date"}}, ""),
        (["2021", "2022", "2024"], "numeric", {}, ""),
        (["20240131130500", "20240201130500"], "numeric", {}, ""),
        (["20240131130500", "20240201130500"], "date", {"types": {"a": "date"}}, ""),
    ],
    "days since 1970": [
        ([str(45_000 + number) for number in range(9)], "numeric", {}, ""),
        ([str(45_000 + number) for number in range(9)], "refused", {"types": {"a": "date"}}, ""),
        ([f"{19_000 + number}.5" for number in range(9)], "refused", {"types": {"a": "date"}}, ""),
    ],
    "`true`, `FALSE`": [(["true", "FALSE"], "boolean", {}, "")],
    "`yes`, `N`": [
        (["yes", "no"], "categorical", {}, ""),
        (["ja", "nein"], "categorical", {}, ""),
        (["1", "0"], "numeric", {}, ""),
        (["ja", "nein"], "boolean", {"types": {"a": "boolean"}}, ""),
        (["Y", "N"], "boolean", {"types": {"a": "boolean"}}, ""),
        (["tak", "nie"], "boolean", {"types": {"a": "boolean"}}, ""),
        (["N\u00e3o", "Sim"], "boolean", {"types": {"a": "boolean"}}, ""),
    ],
    "empty, `NA`": [
        (["1", "", "NA", "N/A", "NaN", "null", "None", "?", "#N/A", "\\N"], "numeric", {}, ""),
        (["None", "big"], "categorical", {"missing_values": []}, ""),
        (["\\N", "big", "small"], "categorical", {}, ""),
    ],
    "`2024-031`, numbers": [
        ([f"2024-{number:03}" for number in range(20, 40)], "categorical text identifier", {}, WARNED),
        ([f"2024-{number:03}" for number in range(20, 40)], "date", {"date_format": "%Y-%j"}, ""),
        ([f"\uff11\uff12{number}" for number in range(20, 40)], "categorical text identifier", {}, WARNED),
    ],
    "`n.a.`, `-`": [
        (
            ["1", "2", "n.a.", "-", ".", ".a", "unknown", "#DIV/0!", "#NV", "NaT", "0000-00-00"],
            "numeric",
            {},
            "",
        ),
        (["small", "unknown", "small"], "categorical", {}, ""),
    ],
    "`-999`, `gone`": [
        ([*map(str, range(30)), "gone"], "categorical text identifier", {}, WARNED),
        ([*map(str, range(30)), "gone"], "numeric", {"missing_values": ["gone"]}, ""),
    ],
    "`-1`, `-9`": [([*map(str, range(30)), "-999", "-999"], "numeric", {}, WARNED)],
    "`1` and `1.0`, `TRUE`": [
        (["1", "1.0", "x", "y", "z"] * 5, "categorical", {}, ""),
        (["TRUE", "True", "both"] * 5, "categorical", {}, WARNED),
    ],
    "`1Q24`": [([f"{n % 4 + 1}Q{n // 4 + 10}" for n in range(20)] * 3, "categorical", {}, WARNED)],
    "`1` and `0` next to": [(["1", "0", "yes", "no"] * 5, "categorical", {}, WARNED)],
    "` No`, `No `": [
        ([" No", "No ", "Yes"], "categorical", {}, ""),
        (["No", "no", "Yes"], "categorical", {}, WARNED),
        ([" No", "No ", "Yes"], "categorical", {"trim": False}, ""),
        (["A", "\u0410", "b"], "categorical", {}, WARNED),
    ],
    "`M\u00c3\u00bcller`": [
        (["M\u00c3\u00bcller", "Meier"], "categorical", {}, WARNED),
        (["M\ufffdller", "Meier"], "categorical", {}, WARNED),
        (["\u0080 5", "Meier"], "categorical", {}, WARNED),
        (['a \\"b\\"', "Meier"], "categorical", {}, WARNED),
        (["M\u00fcller \u00c3", "C:\\tmp"], "categorical", {}, ""),
    ],
    "words, most of them": [
        ([f"item {number} of the list" for number in range(200)], "text", {}, ""),
        (WORDS * 5, "categorical", {"types": {"a": "categorical"}}, ""),
    ],
}

# Lines about whole files, targets or parts of the split, with the tests that show them.
ELSEWHERE = {
    "`9999-12-31`": "datasets/tables/test_tables_of_users.py::test_dates_far_from_all_others_that_repeat_are_reported",
    "a column without any value":
        "preprocessing/columns/test_some_rows.py::test_a_table_is_fitted_on_some_rows_as_on_their_copy",
    "numbers that pandas": "datasets/tables/test_layout.py::test_categories_of_pandas_are_words",
    "the index that pandas": "datasets/tables/test_layout.py::test_the_index_of_pandas_is_not_a_feature",
    "a column of `train`":
        "datasets/tables/test_tables_of_users.py::test_a_column_that_looks_like_a_split_is_reported_if_no_setting_names_it",
    "infinite numbers": "datasets/test_table.py::test_infinite_numbers_of_single_precision_are_refused",
    "lists, structs": "datasets/test_table.py::test_columns_of_lists_are_rejected_only_if_they_are_needed",
    "classes in a split's": "datasets/tables/test_layout.py::test_classes_without_training_rows_are_reported",
}  # fmt: skip


def lines() -> list[str]:
    section = DOCS.read_text().split("### How cells are read")[1].split("\nNew rows are read")[0]
    return [
        line.removeprefix("| ")
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith(("| cells", "|---"))
    ]


@pytest.mark.parametrize("line", lines(), ids=lambda line: re.sub(r"\W+", " ", line)[:30].strip())
def test_a_line_of_the_documentation_is_what_happens(line: str, tmp_path: Path) -> None:
    if any(line.startswith(beginning) for beginning in ELSEWHERE):
        return
    (cases,) = [cases for beginning, cases in CASES.items() if line.startswith(beginning)]
    for values, kind, options, told in cases:
        table = dict(zip("ab", values, strict=False)) if isinstance(values, tuple) else {"a": values}
        table["y"] = list(range(len(table["a"])))
        pd.DataFrame(table).to_csv(tmp_path / "t.csv", sep=";", index=False)
        try:
            data = load(str(tmp_path / "t.csv"), "y", separator=";", header=True, **options)
        except DataError:
            assert kind == "refused", values
            continue
        assert data.columns is not None
        assert data.columns["a"].kind in kind.split(), (values, data.columns["a"].kind)
        warnings = [*data.warnings, *warnings_of(data.notices)]
        assert bool(warnings) == bool(told), (values, warnings)


def test_every_case_is_documented() -> None:
    for beginning in (*CASES, *ELSEWHERE):
        assert sum(line.startswith(beginning) for line in lines()) == 1, beginning
    for test in ELSEWHERE.values():
        file, name = test.split("::")
        assert f"def {name}(" in (Path(__file__).parents[2] / file).read_text(), test

"""Which placeholders of missing values, and which booleans in two spellings, are reported."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import dlcli
from dlcli.datasets.reading.stand_ins import stand_ins
from dlcli.datasets.table import load


def told(*values: object) -> list[str]:
    return [notice.key for notice in stand_ins(pd.DataFrame({"a": values}))]


@pytest.mark.parametrize("values", [
    (-1, 0, 3, 7), (-999.0, 20.5, 30.0, np.nan), (-9, 1, 2), (9999, 9999, 12, 40), (999, 999, 0, 3.5),
    (-999, -999, -5, 30), (-1, -1, 2.5, 3.5), (-999, 2.5, 3.5),
])  # fmt: skip
def test_numbers_that_may_stand_for_a_missing_value(values: tuple[float, ...]) -> None:
    assert told(*values) == ["sentinels"]


@pytest.mark.parametrize("values", [
    (-1, 0, 1, 1), (-1, 1, 1, -1), (-1, -2, 5, 8), (-999, -400, 3, 9), (999, 1, 2, 3), (999, 999, 998, 700),
    (-1.5, 0, 3), (np.nan, np.nan), (1, 2, 3), (True, False, True), (-1, -1, -1), (-1, 0.5, 2.25),
])  # fmt: skip
def test_numbers_that_are_what_they_are(values: tuple[float, ...]) -> None:
    assert told(*values) == []


@pytest.mark.parametrize(
    "values",
    [
        ("yes", "no", "1", "0"),
        ("Yes", "No", "1"),
        ("y", "n", "true", "n", None),
        ("yes", "no", "1", "0", "true"),
        ("si", "no", "1"),
        ("ja", "nein", "1"),
        ("oui", "non", "1"),
        ("t", "f", "0"),
        ("on", "off", "0"),
        ("yes", "no", "None", "1"),
    ],
)
def test_booleans_in_two_spellings(values: tuple[object, ...]) -> None:
    assert told(*values) == ["mixed_booleans"]


def test_booleans_in_two_spellings_are_shown_by_their_words_for_true() -> None:
    (notice,) = stand_ins(pd.DataFrame({"a": ["ja", "nein", "yes"]}))
    assert notice.text == "yes and no have two spellings: a (ja and yes)"


@pytest.mark.parametrize("values", [("yes", "no"), ("si", "no"), ("1", "0", "2"), ("yes", "no", "maybe", "1"),
                                    ("t", "f", "n"), tuple("abcdefghijklmnop")])  # fmt: skip
def test_words_that_are_what_they_are(values: tuple[object, ...]) -> None:
    assert told(*values) == []


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_shown_setting_reads_them_as_missing(ending: str) -> None:
    rows = pd.DataFrame({
        "age": [20 + row % 60 if row % 9 else -999 for row in range(90)],
        "smokes": [["yes", "no", "1", "0"][row % 4] for row in range(90)],
        "y": ["a", "b", "b"] * 30,
    })  # fmt: skip
    file = Path(f"rows.{ending}")
    rows.to_csv(file, index=False) if ending == "csv" else rows.to_parquet(file)
    numbers, pairs = load(str(file), "y").notices
    assert (numbers.key, numbers.count) == ("sentinels", 10)
    assert numbers.text == "may denote a missing value: -999 in 10 rows of age, otherwise 20 to 79"
    assert (pairs.key, pairs.count) == ("mixed_booleans", 44)
    assert "smokes (yes and 1)" in pairs.text
    word = shlex.split(numbers.hint.removeprefix("If it does: "))[0]
    words = ["dataset=table", f"dataset.path={file}", "dataset.target=y", "model=linear"]
    assert [notice.key for notice in dlcli.check(words)[0].notices][:1] == ["sentinels"]
    assert "sentinels" not in [notice.key for notice in dlcli.check([*words, word])[0].notices]


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        (None, "{age: [-999]}"),
        ({"b": ["gone"]}, "{b: [gone], age: [-999]}"),
        ({"age": ["gone"]}, "{age: [gone, -999]}"),
        (["gone"], "[gone, -999]"),
    ],
)
def test_the_shown_setting_keeps_what_is_missing_already(given: Any, setting: str) -> None:
    word = "gone" if given else "n.a."
    cells = ["20", "n/a", "-999", "40", "NA", "-", word if given != {"b": ["gone"]} else "", "31", "-999"]
    others = ["gone" if given == {"b": ["gone"]} else "1", *"23456789"]
    table = pd.DataFrame({"age": cells, "b": others, "y": [1.5, 2.5, 3.5] * 3})
    Path("t.csv").write_text(table.to_csv(index=False))
    (notice,) = load("t.csv", "y", missing_values=given).notices
    assert f"'dataset.missing_values={setting}'" in notice.hint
    found = load("t.csv", "y", missing_values=yaml.safe_load(setting))
    assert found.notices == ()
    assert found.x["age"].dropna().tolist() == [20, 40, 31]
    assert found.x["b"].dtype.kind in "if"


def test_the_empty_list_clears_the_usual_words() -> None:
    Path("t.csv").write_text("a,y\nNA,1\n,2\nx,3\nx,4\n")
    assert load("t.csv", "y", missing_values={"a": []}).x["a"].isna().sum() == 1
    assert load("t.csv", "y", missing_values={"a": ["x"]}).x["a"].isna().sum() == 4


def test_large_numbers_are_shown_whole() -> None:
    (notice,) = stand_ins(pd.DataFrame({"a": [-1, 1_234_567, 2.5, -1]}))
    assert notice.text == "may denote a missing value: -1 in 2 rows of a, otherwise 2.500 to 1234567"

"""Values that may stand for a missing one, and booleans in two spellings: what is told, and what is not."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.datasets.reading.stand_ins import stand_ins
from dlcli.datasets.table import load


def told(*values: object) -> list[str]:
    return [notice.key for notice in stand_ins(pd.DataFrame({"a": values}))]


@pytest.mark.parametrize("values", [
    (-1, 0, 3, 7), (-999.0, 20.5, 30.0, np.nan), (-9, 1, 2), (9999, 9999, 12, 40), (999, 999, 0, 3.5),
    (-999, -999, -5, 30),
])  # fmt: skip
def test_numbers_that_may_stand_for_a_missing_value(values: tuple[float, ...]) -> None:
    assert told(*values) == ["sentinels"]


@pytest.mark.parametrize("values", [
    (-1, 0, 1, 1), (-1, 1, 1, -1), (-1, -2, 5, 8), (-999, -400, 3, 9), (999, 1, 2, 3), (999, 999, 998, 700),
    (-1.5, 0, 3), (np.nan, np.nan), (1, 2, 3), (True, False, True), (-1, -1, -1),
])  # fmt: skip
def test_numbers_that_are_what_they_are(values: tuple[float, ...]) -> None:
    assert told(*values) == []


@pytest.mark.parametrize(
    "values", [("yes", "no", "1", "0"), ("Yes", "No", "1"), ("y", "n", "true", "n", None)]
)
def test_booleans_in_two_spellings(values: tuple[object, ...]) -> None:
    assert told(*values) == ["mixed_booleans"]


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
    assert numbers.text == "may stand for a missing value: -999 in 10 rows of age, otherwise 20 to 79"
    assert (pairs.key, pairs.count) == ("mixed_booleans", 44)
    assert "smokes (yes and 1)" in pairs.text
    word = shlex.split(numbers.hint.removeprefix("If it does: "))[0]
    words = ["dataset=table", f"dataset.path={file}", "dataset.target=y", "model=linear"]
    assert [notice.key for notice in dlcli.check(words)[0].notices][:1] == ["sentinels"]
    assert "sentinels" not in [notice.key for notice in dlcli.check([*words, word])[0].notices]

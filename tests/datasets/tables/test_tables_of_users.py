"""Tables as users report them: indexes without a name, headers over several lines, files with a wrong suffix."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from dlcli.checks.profile import find_warnings
from dlcli.datasets.data import Data
from dlcli.datasets.table import load
from dlcli.datasets.tables.column_selection import ColumnSelection
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.errors import DataError
from dlcli.splits.split import Split

ROWS = 30


def rows() -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(ROWS) * 1.5, "y": np.arange(ROWS) * 2.5})


@pytest.mark.parametrize(
    ("name", "frame"),
    [("c0", rows()), ("Unnamed: 0", rows().rename_axis("Unnamed: 0"))],
    ids=["without a name", "written again"],
)
def test_numbers_of_rows_without_a_name_are_an_index(name: str, frame: pd.DataFrame) -> None:
    frame.to_csv("t.csv")
    data = load("t.csv", "y")
    assert list(data.x) == ["x"]
    assert data.columns is not None
    assert data.columns[name].why == "index"
    assert list(load("t.csv", "y", types={name: "numeric"}).x) == [name, "x"]


@pytest.mark.parametrize("index", [np.arange(ROWS) * 2 + 3, np.random.default_rng(0).permutation(ROWS)])
def test_the_index_of_selected_and_shuffled_rows_is_left_out(index: np.ndarray) -> None:
    rows().set_index(pd.Index(index)).to_csv("t.csv")
    data = load("t.csv", "y")
    assert list(data.x) == ["x"]
    assert data.columns is not None
    assert data.columns.left_out() == {"c0": "index"}


def test_a_first_column_without_a_name_that_numbers_no_rows_is_a_feature() -> None:
    for index in (np.arange(ROWS) // 2, np.arange(ROWS) - 3, np.arange(ROWS) + 0.5):
        rows().set_index(pd.Index(index)).to_csv("t.csv")
        assert list(load("t.csv", "y").x) == ["c0", "x"]


def test_a_column_that_looks_like_a_split_is_reported_if_no_setting_names_it() -> None:
    rows().assign(
        part=["Train", "train", "TEST"] * (ROWS // 3), c=["train", "bus", "car"] * (ROWS // 3)
    ).to_csv("t.csv", index=False)
    (told,) = load("t.csv", "y").notices
    assert (told.key, told.count, told.where) == ("unused_splits", 1, "column part")
    assert told.text == "looks like a split, and is used as a feature: part (Train, train, TEST)"
    assert "dataset.split=part" in told.hint
    assert not load("t.csv", "y", split="part").notices


def test_folds_may_have_names() -> None:
    rows().assign(part=[f"Fold {row % 3}" for row in range(ROWS)]).to_csv("t.csv", index=False)
    parts = load("t.csv", "y", split="part").parts
    assert parts is not None
    assert parts.tolist() == [row % 3 for row in range(ROWS)]


def test_a_header_may_span_lines_in_new_rows_too() -> None:
    rows().rename(columns={"x": "x\n(m)"}).to_csv("t.csv", index=False)
    (name,) = load("t.csv", "y").x
    (piece,) = read_pieces(Path("t.csv"), ColumnSelection([name]))
    assert piece.raw.names == ["x\n(m)", "y"]


def test_a_column_called_like_one_of_its_values_costs_no_header() -> None:
    rows().assign(yes=["yes", "no"] * (ROWS // 2)).to_csv("t.csv", index=False)
    (piece,) = read_pieces(Path("t.csv"), ColumnSelection(others=True))
    assert piece.raw.names == ["x", "y", "yes"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(b"x,y\n", mtime=0), "is compressed with gzip, not a table of text"),
        (b'{"x": 1, "y": 2}\n', "is JSON, not a table of text\n  Give the file the suffix .jsonl"),
        (b"<!DOCTYPE html>\n", "is a page of HTML, not a table of text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"is an Excel file of an earlier version \(.xls\)"),
        ("x,y\n1,2\n".encode("utf-16-le"), "is written in UTF-16\n  Give dataset.encoding=utf-16-le"),
        ("x,y\n1,2\n".encode("utf-16-be"), "is written in UTF-16\n  Give dataset.encoding=utf-16-be"),
    ],
)
def test_another_format_with_the_name_of_a_text_is_named(content: bytes, told: str) -> None:
    Path("t.csv").write_bytes(content)
    with pytest.raises(DataError, match=told):
        load("t.csv", "y")


def test_a_text_that_only_begins_like_json_is_read() -> None:
    Path("t.csv").write_text('{"x",y\n1,2\n2,3\n')
    assert load("t.csv", "y").x.shape == (2, 1)


def test_missing_words_of_json_may_be_nan() -> None:
    """As json.dumps writes the rows of a table of pandas."""
    frame = rows().assign(word=["u", np.nan] * (ROWS // 2))
    for name, text in (
        ("t.jsonl", "".join(json.dumps(row) + "\n" for row in frame.to_dict("records"))),
        ("t.json", json.dumps(frame.to_dict("records"))),
    ):
        Path(name).write_text(text)
        assert load(name, "y").x["word"].isna().sum() == ROWS // 2
    Path("t.json").write_text('[{"x": 1, "y": 2}, {"x": "1", "y": 2}]')
    with pytest.raises(DataError, match=r"t\.json, item 1, column x: is a string"):
        load("t.json", "y")


@pytest.mark.parametrize("word", [".", "n.a.", "unknown"])
def test_a_class_that_may_denote_a_missing_value_is_warned_of(word: str) -> None:
    rows().assign(y=[word, "u", "v"] * (ROWS // 3)).to_csv("t.csv", index=False)
    (told,) = load("t.csv", "y").notices
    assert told.text == f"{ROWS // 3} rows of the class {word}, which may denote a missing value"
    (setting, _) = shlex.split(told.hint.removeprefix("If it does: "))
    options = yaml.safe_load(setting.removeprefix("dataset.missing_values="))
    assert len(load("t.csv", "y", missing_values=options, missing_target="drop")) == ROWS // 3 * 2
    assert load("t.csv", "y", missing_values=[]).notices == ()


def test_a_decimal_comma_before_an_exponent_separates_no_thousands() -> None:
    rows().assign(x=[f"{number % 9 + 1},{number:03}E+06" for number in range(ROWS)]).to_csv(
        "t.csv", index=False
    )
    assert load("t.csv", "y").x["x"].iloc[1] == 2.001e6


def test_dates_far_from_all_others_that_repeat_are_reported() -> None:
    days = (
        pd.date_range("2024-01-01", periods=ROWS)
        .strftime("%Y-%m-%d")
        .where(np.arange(ROWS) % 5 > 0, "9999-12-31")
    )
    rows().assign(day=days).to_csv("t.csv", index=False)
    data: Data = load("t.csv", "y")
    split = Split(np.arange(20), np.arange(20, 25), np.arange(25, ROWS))
    told = [
        problem for problem in find_warnings(data, [split]) if "far from all other dates" in problem.message
    ]
    assert [problem.where for problem in told] == ["column day"]
    assert "9999-12-31" in told[0].hint

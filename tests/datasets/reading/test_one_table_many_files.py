"""The same table in many files: every layout, every way to read it, and every spelling give the same rows."""

from __future__ import annotations

import bz2
import io
import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.config.overrides import parse
from dlcli.datasets.data import Data
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.table import load
from dlcli.datasets.tables.column_selection import ColumnSelection
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.errors import DataError
from tests.generated_tables import ROWS, WORDS, generated


def cells_of(frame: pd.DataFrame, sign: str, gap: str = "") -> list[str]:
    """Return the lines of a table as the csv module writes them, cells in quotes where they need them."""

    def cell(value: object) -> str:
        text = gap if value is None or value != value or value == "" else str(value)
        return '"' + text.replace('"', '""') + '"' if sign in text or '"' in text else text

    rows = [list(frame.columns), *frame.astype(object).to_numpy().tolist()]
    return [sign.join(map(cell, row)) for row in rows]


def text(frame: pd.DataFrame, sign: str = ",", end: str = "\n") -> str:
    return end.join([*cells_of(frame, sign), ""])


def with_comments(frame: pd.DataFrame) -> str:
    first, *lines = cells_of(frame, ",")
    lines = [line for row, line in enumerate(lines) for line in ([f"# {row}"] * (row % 20 == 7) + [line])]
    return "\n".join(["# made by hand", first, *lines, "# the end", ""])


def with_row_names(frame: pd.DataFrame) -> str:
    first, *lines = cells_of(frame, ",")
    return "\n".join([first, *(f'"{row + 1}",{line}' for row, line in enumerate(lines)), ""])


def aligned(frame: pd.DataFrame) -> str:
    first, *lines = cells_of(frame, " ", gap="?")
    return "\n".join([first, *(line.replace(" ", "   ", 1) for line in lines), ""])


# Layouts of text files: the file's name, its content, and the settings that it needs.
TEXTS: dict[str, tuple[str, Callable[[pd.DataFrame], bytes], dict[str, Any]]] = {
    "semicolons": ("t.csv", lambda frame: text(frame, ";").encode(), {}),
    "tabs, CRLF": ("t.tsv", lambda frame: text(frame, "\t", "\r\n").encode(), {}),
    "pipes, BOM": ("t.txt", lambda frame: text(frame, "|").encode("utf-8-sig"), {}),
    "sep=": ("t.csv", lambda frame: b"sep=;\r\n" + text(frame, ";", "\r\n").encode(), {}),
    "caret": ("t.csv", lambda frame: text(frame, "^").encode(), {"separator": "^"}),
    "comments": ("t.csv", lambda frame: with_comments(frame).encode(), {}),
    "trailing commas": ("t.csv", lambda frame: text(frame, ",", ",\n").encode(), {}),
    "row names of R": ("t.csv", lambda frame: with_row_names(frame).encode(), {}),
    "aligned by blanks": ("t.data", lambda frame: aligned(frame).encode(), {}),
    "UTF-16": ("t.csv", lambda frame: text(frame, "\t").encode("utf-16"), {"encoding": "utf-16"}),
    "latin-1": ("t.csv", lambda frame: text(frame).encode("latin-1"), {"encoding": "latin-1"}),
    "compressed": ("t.csv.bz2", lambda frame: bz2.compress(text(frame).encode()), {}),
    "index": ("t.csv", lambda frame: frame.to_csv().encode(), {}),
    "all in quotes": ("t.csv", lambda frame: frame.to_csv(index=False, quoting=1).encode(), {}),
    "JSON lines": ("t.jsonl", lambda frame: frame.to_json(orient="records", lines=True).encode(), {}),
    "JSON list": ("t.json", lambda frame: json.dumps(frame.to_dict("records"), indent=1).encode(), {}),
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A table of strings, as text files hold it."""
    frame = generated(1)[[*WORDS, "part", "y"]].drop(columns="log times")
    # Aligned columns have no blanks around a word, and R's names of months no point.
    return frame.assign(
        words=frame["words"].map(str.strip), ids=[f"1234567890123456789{n % 4}" for n in range(ROWS)]
    )


@pytest.fixture(scope="module")
def expected(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Data:
    file = tmp_path_factory.mktemp("plain") / "t.csv"
    file.write_text(text(table))
    return load(str(file), "y", split="part")


def plain(frame: pd.DataFrame, **options: Any) -> Data:
    Path("plain.csv").write_text(text(frame))
    return load("plain.csv", "y", split="part", **options)


def same(found: Data, expected: Data) -> None:
    pd.testing.assert_frame_equal(found.x, expected.x)
    assert (found.classes, np.asarray(found.y).tolist()) == (
        expected.classes,
        np.asarray(expected.y).tolist(),
    )
    assert found.columns is not None and expected.columns is not None
    assert [c for c in found.columns if c.why != "index"] == [c for c in expected.columns if c.why != "index"]


@pytest.mark.parametrize("layout", TEXTS)
def test_layouts_of_text_files(layout: str, table: pd.DataFrame, expected: Data) -> None:
    """The whole file, pieces of it, and the body of a request."""
    name, content, options = TEXTS[layout]
    Path(name).write_bytes(content(table))
    found = load(name, "y", split="part", **options)
    same(found, expected)
    features = found.columns.only(list(found.x)) if found.columns is not None else None
    assert features is not None
    selection = ColumnSelection([column.name for column in features.features()])
    body = None if name.endswith(".bz2") else io.BufferedReader(io.BytesIO(Path(name).read_bytes()))
    for rows, stream in ((16, None), (None, body)):
        pieces = read_pieces(Path(name), selection, FormatOptions(**options), rows, stream)
        frames = [piece.raw.read(type(features)(tuple(features.features()))).frame for piece in pieces]
        assert (len(frames) > 1) == (rows is not None and "list" not in layout)
        read = pd.concat(frames, ignore_index=True)[list(found.x)]
        pd.testing.assert_frame_equal(read, found.x, check_dtype=False)


# Indexes of a frame, which are no features.
INDEXES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "filtered": lambda frame: frame.set_index(pd.Index(np.arange(len(frame)) ** 2)),
    "named": lambda frame: frame.rename_axis("row").set_index(
        pd.Index(np.arange(len(frame)) ** 2, name="row")
    ),
    "range with a name": lambda frame: frame.set_index(pd.RangeIndex(3, 3 + len(frame), name="row")),
    "several levels": lambda frame: frame.set_index(
        pd.MultiIndex.from_product([["a", "b"], range(len(frame) // 2)], names=["site", "row"])
    ),
    "levels without names": lambda frame: frame.set_index(
        pd.MultiIndex.from_product([["a", "b"], range(len(frame) // 2)])
    ),
    "dates": lambda frame: frame.set_index(pd.date_range("2024-01-01", periods=len(frame), name="day")),
    "also a column": lambda frame: frame.set_index("ids", drop=False),
}


@pytest.mark.parametrize("name", INDEXES)
def test_the_index_of_a_frame_is_no_feature(name: str, table: pd.DataFrame, expected: Data) -> None:
    INDEXES[name](table).to_parquet("t.parquet")
    same(load("t.parquet", "y", split="part"), expected)
    (piece,) = read_pieces(Path("t.parquet"), ColumnSelection(list(expected.x)), rows=None)
    assert set(expected.x) <= set(piece.raw.names)
    assert expected.columns is not None
    read = piece.raw.read(expected.columns).frame[list(expected.x)]
    pd.testing.assert_frame_equal(read, expected.x, check_dtype=False)


def test_blanks_around_cells_are_no_part_of_them(table: pd.DataFrame, expected: Data) -> None:
    draw = random.Random(0)
    blanks = ["", " ", "  ", "\t", "\u00a0"]
    padded = table.map(lambda cell: f"{draw.choice(blanks)}{cell}{draw.choice(blanks)}")
    found = plain(padded)
    pd.testing.assert_frame_equal(found.x, expected.x)
    assert (found.classes, found.y.tolist()) == (expected.classes, expected.y.tolist())


@pytest.mark.parametrize("kind", ["categorical", "text"])
def test_the_word_of_the_user_makes_any_column_a_feature(kind: Any, table: pd.DataFrame) -> None:
    names = [name for name in table.columns if name not in ("part", "y")]
    data = plain(table, types=dict.fromkeys(names, kind))
    assert list(data.x) == names
    assert data.columns is not None
    assert {data.columns[name].kind for name in names} == {kind}
    assert data.columns.left_out() == {}


def test_rows_of_a_test_file_are_read_as_new_rows_are(table: pd.DataFrame) -> None:
    """Other spellings of a category, and a column that is empty in the training file."""
    frame = table.drop(columns="part").assign(code=["1", "2", "True"] * (ROWS // 3), later="")
    other = frame.assign(code=["1.0", "2.00", "TRUE"] * (ROWS // 3), later="red")
    frame.to_csv("t.csv", index=False)
    other.to_csv("new.csv", index=False)
    data = load("t.csv", "y", test_path="new.csv", types={"code": "categorical"})
    assert data.x["code"].tolist() == ["1", "2", "True"] * (2 * ROWS // 3)
    assert data.x["later"].isna().all()
    pd.concat([frame, other]).to_csv("t.csv", index=False)
    whole = load("t.csv", "y", types={"code": "categorical"})
    assert whole.x["code"].tolist() == data.x["code"].tolist()
    assert whole.columns is not None
    assert whole.columns["code"].note == "1.0 as the category 1"


def test_parts_in_any_spelling_are_those_of_their_words(table: pd.DataFrame) -> None:
    draw = random.Random(1)
    words = {"train": ["train", "Training", "TRAIN SET", "trn"], "val": ["dev", "Valid", "validation_set"]}
    words["test"] = ["Test", "testing-data", "HOLDOUT", "held-out"]
    spelt = [draw.choice([w.upper(), w.lower(), f" {w} "]) for part in words for w in words[part]]
    assert {part_of(word.strip()) for word in spelt} == set(words)
    few = table[["part", "words", "y"]]
    for _ in range(5):
        chosen = {part: draw.choice(some) for part, some in words.items()}
        data = plain(few.assign(part=[chosen[str(part_of(part))] for part in table["part"]]))
        assert data.parts is not None
        assert data.parts.tolist() == [part_of(part) for part in table["part"]]


# Tables that are refused, or misunderstood: every setting that the hint shows makes them readable.
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "decimal signs": ("x;y\n1.327;1\n998;2\n2.600;3\n", {}),
    "order of days": ("x,z,y\n01/02/2024,1,1\n03/04/2024,2,2\n", {}),
    "years of two digits": ("x,z,y\n24-01-31,1,1\n25-02-28,2,2\n", {}),
    "two formats": ("x;z;y\n1.5;1;1\n2.25;2;2\n1,5;3;3\n", {}),
    "per cent and shares": ("x,z,y\n12 %,1,1\n0.12,2,2\n7 %,3,3\n", {}),
    "a class None": ("x,y\n1,None\n2,big\n3,None\n4,big\n", {}),
    "no target": ("x,y\n1,1.5\n2,\n3,2.5\n4,3.5\n", {}),
    "a boolean of three words": ("x,z,y\nyes,1,1\nno,2,2\nmaybe,3,3\n", {"types": {"x": "boolean"}}),
    "a boolean of other words": ("x,z,y\nm,1,1\nf,2,2\n", {"types": {"x": "boolean"}}),
    "a header of numbers": ("2019,2020\n1.5,1\n2.5,2\n3.5,3\n", {"target": "2021"}),
    "lists": ('{"x": [1], "z": 1, "y": 1}\n{"x": [2], "z": 2, "y": 2}\n', {"file": "t.jsonl"}),
    "UTF-16": ("x\ty\n1\t1.5\n2\t2.5\n", {"written": "utf-16"}),
    "another encoding": ("x,z,y\n\u00e4,1,1\n\u00f6,2,2\n", {"written": "latin-1"}),
}

MISSING = "dataset.missing_target=drop"
SETTING = re.compile(r"'(dataset\.\w+=[^']+)'|(dataset\.\w+=[^\s,;:']+[^\s,;:.'])")


def settings_in(hint: str) -> list[str]:
    return [quoted or plain for quoted, plain in SETTING.findall(hint)]


def applied(settings: list[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `load` with some settings; a key that is set already is merged as on the command line."""
    found = dict(options)
    for setting in settings:
        (override,), problems = parse([setting])
        assert not problems
        found[override.key.removeprefix("dataset.")] = override.value
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_the_settings_that_a_hint_shows_make_the_table_readable(name: str) -> None:
    content, options = REFUSED[name]
    options = dict(options)
    file, encoding = options.pop("file", "t.csv"), options.pop("written", "utf-8")
    Path(file).write_bytes(content.encode(encoding))
    target = options.pop("target", "y")
    types = {"y": "numeric"} if "None" not in content and target == "y" else {}
    options = {**options, "types": {**types, **options.get("types", {})}}
    with pytest.raises(DataError) as caught:
        load(file, target, **options)
    (problem,) = caught.value.problems
    shown = settings_in(problem.hint)
    assert shown
    for setting in shown:
        arguments = applied([setting], options)
        if "types" in setting:
            arguments["types"] = {**types, **arguments["types"]}
        if (name, setting) in (("a class None", MISSING), ("no target", "dataset.missing_values=[]")):
            continue  # leaves a single class; for words, and the cell is empty
        if name == "a header of numbers":
            target = "2020"
        assert load(file, target, **arguments).x.shape[1] >= 1

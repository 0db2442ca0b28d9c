"""Tables of new rows, read in pieces."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.tables import delimited
from dlcli.datasets.tables.column_selection import PIECE, ColumnSelection, Piece, rows_of_piece
from dlcli.datasets.tables.dialect import Dialect
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.pieces import STDIN, read_pieces
from dlcli.datasets.tables.quoted_rows import Batch, batches
from dlcli.datasets.tables.read_table import read_table
from dlcli.errors import DataError

TABLE = pd.DataFrame(
    {
        "id": ["007", "08", "x,y", "", "010", 'a "b"', "two\nlines", "11"],
        "size": [1.5, 2, None, 4, 5, 6, 7, 8.25],
        "kind": ["true", "false", "maybe", "true", "false", "true", "false", "1"],
    }
)
KINDS: dict[str, Any] = {"id": "categorical", "size": "numeric", "kind": "categorical"}


def frame(piece: Piece, **kinds: Any) -> pd.DataFrame:
    """Return the rows of a piece, read as a model with columns of these kinds reads them."""
    return piece.raw.read(Columns.of_kinds(kinds)).frame


def as_csv(separator: str = ",", header: bool = True) -> Callable[[Path], object]:
    return lambda file: TABLE.to_csv(file, index=False, sep=separator, header=header)


def as_gzip(file: Path) -> None:
    file.write_bytes(gzip.compress(TABLE.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", as_csv()),
        ("t.tsv", as_csv("\t")),
        ("t.csv.gz", as_gzip),
        ("t.jsonl", lambda file: TABLE.to_json(file, orient="records", lines=True)),
        ("t.parquet", lambda file: TABLE.to_parquet(file)),
        ("t.xlsx", lambda file: TABLE.to_excel(file, index=False)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pieces_add_up_to_the_table(name: str, write: Callable[[Path], object]) -> None:
    file = Path(name)
    write(file)
    pieces = list(read_pieces(file, ColumnSelection(["size", "kind"], keep=["id"]), rows=3))
    counts = [len(piece.raw) for piece in pieces]
    assert len(pieces) > 1 or name == "t.xlsx"
    found = pd.concat(
        [frame(piece, size="numeric", kind="categorical") for piece in pieces], ignore_index=True
    )
    assert found["size"].astype(float).equals(TABLE["size"])
    assert found["kind"].tolist() == TABLE["kind"].tolist()
    kept = pd.concat([piece.kept.to_pandas() for piece in pieces], ignore_index=True)
    assert kept["id"].fillna("").tolist() == TABLE["id"].tolist()
    firsts = pd.Series(counts).cumsum().shift(fill_value=0)
    assert [piece.first for piece in pieces] == firsts.tolist()


@pytest.mark.parametrize("rows", [1, 2, None])
def test_a_row_is_reported_with_its_line_in_every_piece(rows: int | None) -> None:
    Path("t.csv").write_text("\na,b\n1,x\n2,y\n3,z\n4,u\n5,v\n")
    places = [
        piece.raw.origin.place(row, "b")
        for piece in read_pieces(Path("t.csv"), ColumnSelection(["a"]), rows=rows)
        for row in range(len(piece.raw))
    ]
    assert places == [f"t.csv:{line}, column b" for line in (3, 4, 5, 6, 7)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_within_a_cell_is_literal(end: str) -> None:
    cells = ["1", '3" x', '"a, b"', '"two' + end + 'lines"', '"say ""x"""', '"in"ch"', "7", "8"]
    lines = ['x,note 5" pipe', *(f"{number},{cell}" for number, cell in enumerate(cells))]
    Path("t.csv").write_bytes("".join(line + end for line in lines).encode("utf-8-sig"))
    whole = read_table(Path("t.csv")).frame
    for rows in (1, 2, 3, None):
        pieces = list(read_pieces(Path("t.csv"), ColumnSelection(["x"], keep=None), rows=rows))
        assert len(pieces) == (8 // rows + (8 % rows > 0) if rows else 1)
        assert [value for piece in pieces for value in frame(piece, x="numeric")["x"]] == [*range(8)]
        kept = [value for piece in pieces for value in piece.kept['note 5" pipe'].to_pylist()]
        assert kept == whole['note 5" pipe'].tolist()


def test_empty_lines_are_ignored_in_every_piece() -> None:
    Path("t.csv").write_text("\na\n\n\n\n1\n\n\n2\n\n\n\n\n")
    pieces = list(read_pieces(Path("t.csv"), ColumnSelection(["a"]), rows=2))
    assert [frame(piece, a="numeric")["a"].tolist() for piece in pieces] == [[1], [2]]


@pytest.mark.parametrize("rows", [2, None])
@pytest.mark.parametrize(("end", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8"), ("\n", "utf-16")])
def test_empty_lines_between_rows_are_counted_and_places_are_true(
    end: str, encoding: str, rows: int | None
) -> None:
    """Those before the header and after the last row are no loss."""
    lines = ["", "", "a,b", "1,2", "", "3,4", "#", "", "", "5,x", "", ""]
    Path("t.csv").write_bytes(end.join(lines).encode(encoding))
    options = FormatOptions(encoding=encoding)
    pieces = list(read_pieces(Path("t.csv"), ColumnSelection(["a"]), options, rows=rows))
    assert (sum(piece.raw.empty for piece in pieces), sum(piece.raw.comments for piece in pieces)) == (3, 1)
    whole = read_table(Path("t.csv"), options=options, types={"b": "categorical"})
    assert [problem.message for problem in whole.warnings] == [
        "1 line beginning with # skipped", "3 empty lines between the rows skipped",
    ]  # fmt: skip
    assert [whole.place(row) for row in range(3)] == ["t.csv:4", "t.csv:6", "t.csv:10"]
    found = [piece.raw.origin.place(row) for piece in pieces for row in range(len(piece.raw))]
    assert found == ["t.csv:4", "t.csv:6", "t.csv:10"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_not_looked_at_one_by_one_if_none_between_the_rows_is_empty(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for empty lines at the end, nor for paragraphs in quoted cells."""
    looked: list[object] = []
    monkeypatch.setattr(delimited, "empty_lines", lambda *given: looked.append(given) or [])
    for rows in ("1,2||||", '"u||v",2|#|3,4|||', "1,2|3,4"):
        Path("t.csv").write_bytes(f"a,b|{rows}".replace("|", end).encode())
        read_table(Path("t.csv"))
    assert not looked
    Path("t.csv").write_bytes('a,b|"u||v",2||3,4'.replace("|", end).encode())
    read_table(Path("t.csv"))
    assert len(looked) == 1


def test_empty_lines_among_many_comments_are_counted() -> None:
    counts = range(100)
    Path("t.csv").write_text("a,b\n" + "".join(f"{count},2\n\n# c\n" for count in counts))
    whole = read_table(Path("t.csv"))
    assert [whole.place(row) for row in counts] == [f"t.csv:{2 + 3 * row}" for row in counts]


def test_columns_of_nearly_the_same_name_are_not_taken_but_named() -> None:
    Path("t.csv").write_text("Sepal_Length_cm,K,<=50K,d,E,f f\n1,2,3,4,5,6\n")
    for needed, told in (
        (["sepal length (cm)"], "Rename 'Sepal_Length_cm' to 'sepal length (cm)': names must be those of"),
        (["k"], "Rename 'K' to 'k'"),
        ([">50K"], "Did you mean <=50K?"),
        (["other"], "Add the column"),
        (["D", "k", "e", "F-F", "z"], "Rename 'd' to 'D', 'K' to 'k', 'E' to 'e', and 1 more alike"),
    ):
        with pytest.raises(DataError) as caught:
            list(read_pieces(Path("t.csv"), ColumnSelection(needed)))
        assert caught.value.problems[0].hint.startswith(told)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a,b\n1,2\n1,2\n1\n", "t.csv:4", "has 1 column, but previous rows have 2"),
        (b"a,b\n1,2\n1,2\n\xff,2\n", "t.csv:4", "is not UTF-8"),
        ("a,c\n1,2\n", "t.csv", "there is no column b"),
        ("a,b\n", "t.csv", "has no rows"),
        ("\n \n", "t.csv", "is empty"),
        ("a,a\n1,2\n", "t.csv", "there is no column b"),
        ("a,b\n1,2\n".encode("utf-16"), "t.csv", "is written in UTF-16"),
        (b"PAR1,b\n1,2\n", "t.csv", "is a Parquet file"),
        (b"a\x00,b\n", "t.csv", "is not text"),
    ],
)
def test_mistakes_are_reported_with_their_line(text: str | bytes, where: str, message: str) -> None:
    Path("t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        list(read_pieces(Path("t.csv"), ColumnSelection(["a", "b"]), rows=2))
    (problem,) = caught.value.problems
    assert problem.where == where
    assert problem.message.startswith(message)


def test_many_missing_columns_are_reported_in_one_sentence() -> None:
    Path("t.csv").write_text("p,q\n1,2\n")
    with pytest.raises(DataError, match=r"4 columns that the model needs are missing: a, b, c, d\n.*p, q"):
        list(read_pieces(Path("t.csv"), ColumnSelection(["a", "b", "c", "d"])))


def test_a_first_row_of_strings_is_a_row_if_the_training_had_no_header() -> None:
    Path("t.csv").write_text("red,round\nblue,square\n")
    (piece,) = read_pieces(Path("t.csv"), ColumnSelection(["c0", "c1"]))
    assert piece.raw.table["c0"].to_pylist() == ["red", "blue"]
    Path("t.csv").write_text("c1,c0\nround,red\n")
    (piece,) = read_pieces(Path("t.csv"), ColumnSelection(["c0", "c1"]))
    assert piece.raw.table["c0"].to_pylist() == ["red"]


def test_other_encodings_are_read() -> None:
    Path("t.csv").write_bytes("a;name\n1,5;Zoë\n2;Ann\n".encode("utf-16"))
    pieces = list(
        read_pieces(
            Path("t.csv"),
            ColumnSelection(["a"], keep=None),
            FormatOptions(encoding="utf-16"),
            rows=2,
        )
    )
    assert [value for piece in pieces for value in piece.raw.table["a"].to_pylist()] == ["1,5", "2"]
    assert [value for piece in pieces for value in piece.kept["name"].to_pylist()] == ["Zoë", "Ann"]


def test_a_key_missing_in_a_piece_of_json_lines_is_a_missing_value() -> None:
    Path("t.jsonl").write_text('{"a": 1, "b": [1]}\n{"a": 2}\n{"b": [2]}\n{"a": 3}\n')
    pieces = list(read_pieces(Path("t.jsonl"), ColumnSelection(["a"], keep=["b"]), rows=1))
    assert pd.concat([frame(piece, a="numeric")["a"] for piece in pieces]).fillna(0).tolist() == [1, 2, 0, 3]
    Path("t.jsonl").write_text('{"a": 1}\n{"a": 2, "more": 1}\n')
    pieces = list(read_pieces(Path("t.jsonl"), ColumnSelection(["a"], keep=None), rows=1))
    assert [piece.kept.column_names for piece in pieces] == [["a"], ["a"]]


def test_large_json_numbers_keep_all_digits() -> None:
    Path("t.jsonl").write_text(
        '{"a": 1, "id": 12345678901234567890, "n": [1]}\n{"a": 2, "id": 7, "n": null}\n'
    )
    (piece,) = read_pieces(Path("t.jsonl"), ColumnSelection(["a"], keep=["id", "n"]))
    assert piece.kept.to_pydict() == {"id": ["12345678901234567890", "7"], "n": [[1], None]}


def test_a_pipe_is_read_only_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        sent = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            rows = (b"a,b\n" if not self.sent else b"") + b"1,2\n" * 100
            buffer[: len(rows)] = rows
            self.sent += len(rows)
            return len(rows)

    endless = Endless()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=endless))
    pieces = list(islice(read_pieces(STDIN, ColumnSelection(["a"]), rows=1000), 3))
    assert [piece.first for piece in pieces] == [0, 1000, 2000]
    assert endless.sent < 4 * 1000 * 4 + io.DEFAULT_BUFFER_SIZE


def test_piped_json_lines_are_detected_by_their_first_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'\n {"a": 1}\n{"a": "x"}\n')))
    with pytest.raises(DataError, match="standard input:3, column a: is a string"):
        list(read_pieces(STDIN, ColumnSelection(["a"])))


def test_reading_in_one_piece_gives_the_same_rows() -> None:
    as_csv()(Path("t.csv"))
    (piece,) = read_pieces(Path("t.csv"), ColumnSelection(list(KINDS)))
    whole = read_table(Path("t.csv"), types=KINDS).frame
    assert frame(piece, **KINDS).equals(whole)


def test_batches_have_whole_rows_and_count_empty_lines() -> None:
    lines = ["1,a\n", "2,b\n", "\n", '3,"c\n', "\n", 'd"\n', "4,e\n", "\r\n", "\n", "5"]
    found = list(batches(iter(lines), Dialect(",", header=False), 2))
    assert found == [
        Batch("1,a\n2,b\n", 2, 2),
        Batch('\n3,"c\n\nd"\n', 4, 1, between=1),
        Batch("4,e\n\r\n", 2, 1, at_end=1),
        Batch("\n5", 2, 1, between=1),
    ]
    assert [batch.rows for batch in batches(iter(lines), Dialect(",", header=False, quotes=False), 4)] == [
        3,
        2,
        1,
    ]
    assert list(batches(iter([]), Dialect(",", header=False), None)) == []


def test_pieces_of_large_rows_have_fewer_rows() -> None:
    assert [rows_of_piece(rows, 1e9) for rows in (None, 3, PIECE, 4 * PIECE)] == [None, 3, PIECE, PIECE]
    assert [rows_of_piece(4 * PIECE, size) for size in (0.1, 700, 3_000)] == [4 * PIECE, 2 * PIECE, PIECE]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_large_piece_is_smaller_if_rows_are_large(suffix: str) -> None:
    table = pd.DataFrame({"a": range(PIECE + 1), "b": [f"{row:02500d}" for row in range(PIECE + 1)]})
    table.to_csv("t.csv", index=False) if suffix == "csv" else table.to_parquet("t.parquet")
    pieces = read_pieces(Path(f"t.{suffix}"), ColumnSelection(["a"]), rows=4 * PIECE)
    assert [len(piece.raw) for piece in pieces] == [PIECE, 1]

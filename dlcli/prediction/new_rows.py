"""`NewRows`: some rows of a file, and the columns that identify them in the output."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from dlcli.datasets.notices import Notice, doubts_of
from dlcli.datasets.reading.column import Place
from dlcli.datasets.tables.column_selection import PIECE, ColumnSelection, Piece
from dlcli.datasets.tables.delimited import skipped_warnings
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.errors import DataError, Problem

# Place of a cell in the errors of a preprocessing, which counts rows in memory from 1.
_ROW = re.compile(r"(?:new data, )?row (\d+), column (.*)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of a file in the form that a saved model accepts.

    Attributes:
        file: the file.
        rows: the rows.
        labels: one line per line of their predictions.
        place: returns the place of a row and a column in the file; None if that is not known.
    """

    file: Path
    rows: Any
    labels: pa.Table
    place: Place | None = None


def pieces_of(
    file: Path,
    selection: ColumnSelection,
    options: FormatOptions,
    report: Callable[[Notice], None],
    *,
    rows: int | None = PIECE,
    stream: io.BufferedReader | None = None,
) -> Iterator[Piece]:
    """Read a table in pieces as `read_pieces` does, and report what was skipped when it has been read."""
    doubts: dict[Problem, None] = {}
    comments = empty = 0
    for piece in read_pieces(file, selection, options, rows, stream):
        doubts |= dict.fromkeys(piece.raw.warnings)
        comments, empty = comments + piece.raw.comments, empty + piece.raw.empty
        yield piece
    for doubt in doubts_of((*doubts, *skipped_warnings(file, comments, empty))):
        report(doubt)


def labels_of(files: Sequence[Path], file: Path, **columns: Any) -> pa.Table:
    """Return a table of the columns that identify rows, preceded by the file's name if there are several files."""
    table = pa.table(columns)
    if len(files) < 2:
        return table
    return table.add_column(0, "file", pa.array([str(file)] * len(table), pa.string()))


@contextmanager
def placed(file: Path, place: Place | None = None) -> Iterator[None]:
    """Replace the place in errors of a preprocessing (new data, or one of its rows) by that in the file."""
    try:
        yield
    except DataError as error:
        problems = [
            replace(problem, where=_in_file(file, place, problem.where)) for problem in error.problems
        ]
        raise DataError(problems) from error


def _in_file(file: Path, place: Place | None, where: str) -> str:
    row = _ROW.fullmatch(where)
    if row is not None and place is not None:
        return place(int(row[1]) - 1, row[2])
    return where.replace("new data", str(file), 1) or str(file)

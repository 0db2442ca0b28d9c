"""`NewRows`: some rows of a file, and the columns that identify them in the output."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.delimited import comment_warnings
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.pieces import PIECE, read_pieces
from dlcli.datasets.tables.selection import ColumnSelection, Piece
from dlcli.errors import DataError, Problem


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of a file in the form that a saved model accepts; `labels` has one line per line of their predictions."""

    file: Path
    rows: Any
    labels: pa.Table


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
    comments = 0
    for piece in read_pieces(file, selection, options, rows, stream):
        doubts |= dict.fromkeys(piece.raw.warnings)
        comments += len(piece.raw.origin.comments)
        yield piece
    for doubt in (*doubts, *comment_warnings(file, comments)):
        report(Notice("doubts", 1, doubt.message, doubt.where, doubt.hint))


def labels_of(files: Sequence[Path], file: Path, **columns: Any) -> pa.Table:
    """Return a table of the columns that identify rows, preceded by the file's name if there are several files."""
    table = pa.table(columns)
    if len(files) < 2:
        return table
    return table.add_column(0, "file", pa.array([str(file)] * len(table), pa.string()))


@contextmanager
def placed(file: Path) -> Iterator[None]:
    """Replace the place "new data" in a preprocessing's errors by the file's name."""
    try:
        yield
    except DataError as error:
        problems = [
            replace(problem, where=problem.where.replace("new data", str(file), 1) or str(file))
            for problem in error.problems
        ]
        raise DataError(problems) from error

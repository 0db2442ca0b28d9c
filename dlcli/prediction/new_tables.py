"""Read new rows from tables, piece by piece, by the columns of the model."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.column_notices import NewRowCounts
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.tables.column_selection import PIECE, ColumnSelection, Piece
from dlcli.datasets.tables.format_options import CellOptions
from dlcli.prediction.new_rows import NewRows, labels_of, pieces_of

# Each piece costs time for each column: so many times the usual number of rows are read at once if they have at most so
# many inputs of the model.
_MOST, _VALUES = 4, 1 << 22


def read_tables(
    files: Sequence[Path],
    columns: Columns | None,
    keep: Sequence[str] | None,
    options: CellOptions,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None = None,
) -> Iterator[NewRows]:
    """Yield rows with their numbers, counted from 0 in each file, and the kept columns (all if `keep` is None).

    Args:
        files: the files.
        columns: the columns of the model; None reads all columns, with types determined by each piece of the file.
        keep: columns that are kept for the output.
        options: format of the files.
        report: receives, after the last row, notices of skipped lines, of unseen categories, and of empty rows.
        stream: the content of the only file, if it is in memory.

    Raises:
        DataError: A column is missing, or a value does not have the kind of its column.
    """
    features = Columns(tuple(columns.features())) if columns is not None else Columns(())
    known = options.applied_to(features)
    selection = ColumnSelection([column.name for column in known], columns is None, keep)
    counts = NewRowCounts(known)
    for file in files:
        for piece in pieces_of(file, selection, options, report, rows=_rows_of_piece(columns), stream=stream):
            labels = labels_of_piece(files, file, piece)
            if columns is None:
                source = piece.raw.decided(ReadingOptions())
            else:
                source = piece.raw.read(known)
                counts.add(source.frame)
            yield NewRows(file, source.frame, labels, source.place)
    for notice in counts.notices():
        report(notice)


def _rows_of_piece(columns: Columns | None) -> int:
    """Return the number of rows that are read at once: several times `PIECE` if the model has few inputs."""
    if columns is None or any(column.kind == "text" for column in columns.features()):
        return PIECE
    inputs = sum(len(column.categories or [0]) for column in columns.features())
    return PIECE * max(1, min(_MOST, _VALUES // max(1, inputs * PIECE)))


def labels_of_piece(files: Sequence[Path], file: Path, piece: Piece) -> pa.Table:
    """Return a table of the rows' numbers and the kept columns."""
    labels = labels_of(files, file, row=np.arange(len(piece.raw)) + piece.first)
    for name in piece.kept.column_names:
        labels = labels.append_column(piece.kept.field(name), piece.kept[name])
    return labels

"""Read new rows from tables, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.tables.columns import Kind, as_dates, as_numbers
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.datasets.tables.selection import ColumnSelection, Piece
from dlcli.datasets.tables.source import Source
from dlcli.prediction.new_rows import NewRows, labels_of
from dlcli.preprocessing.base import NeedsColumns, Preprocessing
from dlcli.preprocessing.table import Table

_CORRECT = "Correct it, or leave the cell empty if there is no value."


def read_tables(
    files: Sequence[Path], preprocessing: Preprocessing, keep: Sequence[str] | None, written: FormatOptions
) -> Iterator[NewRows]:
    """Yield rows with their numbers, counted from 0 in each file, and the kept columns (all if `keep` is None).

    Raises:
        DataError: A column is missing, or a value does not have the type of its column.
    """
    known = isinstance(preprocessing, NeedsColumns)
    kinds = preprocessing.needed_columns() if isinstance(preprocessing, NeedsColumns) else {}
    dates = preprocessing.dates_written() if isinstance(preprocessing, Table) else {}
    for file in files:
        for piece in read_pieces(file, ColumnSelection(kinds, not known, keep), written):
            yield NewRows(file, of_kinds(piece.source, kinds, dates), labels_of_piece(files, file, piece))


def labels_of_piece(files: Sequence[Path], file: Path, piece: Piece) -> pa.Table:
    """Return a table of the rows' numbers and the kept columns."""
    labels = labels_of(files, file, row=np.arange(len(piece.source.frame)) + piece.first)
    for name in piece.kept.column_names:
        labels = labels.append_column(piece.kept.field(name), piece.kept[name])
    return labels


def of_kinds(
    source: Source, kinds: Mapping[str, Kind], dates: Mapping[str, str | None] | None = None
) -> pd.DataFrame:
    """Convert columns to their kinds while the line of a wrong value is known; `dates` holds the formats of dates."""
    changed = {
        name: as_numbers(source.frame[name], source.place, _CORRECT)
        if kind == "numeric"
        else as_dates(source.frame[name], source.place, (dates or {}).get(name))
        for name, kind in kinds.items()
        if kind in ("numeric", "date")
    }
    return source.frame.assign(**changed)

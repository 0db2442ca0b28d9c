"""New rows out of tables, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.tables.columns import Kind, as_dates, as_numbers
from dlcli.datasets.tables.format_options import Written
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.datasets.tables.selection import Piece, Wanted
from dlcli.datasets.tables.source import Source
from dlcli.prediction.new_rows import NewRows, labels_of
from dlcli.preprocessing.base import NeedsColumns, Preprocessing
from dlcli.preprocessing.table import Table

_MEND = "Mend it, or leave the cell empty where there is no value."


def read_tables(
    files: Sequence[Path], preprocessing: Preprocessing, keep: Sequence[str] | None, written: Written
) -> Iterator[NewRows]:
    """Rows with their numbers, counted from 0 in each file, and the columns that are kept (None: all).

    Raises:
        DataError: a column is missing, or a value is not of its column's kind.
    """
    known = isinstance(preprocessing, NeedsColumns)
    kinds = preprocessing.needed_columns() if isinstance(preprocessing, NeedsColumns) else {}
    dates = preprocessing.dates_written() if isinstance(preprocessing, Table) else {}
    for file in files:
        for piece in read_pieces(file, Wanted(kinds, not known, keep), written):
            yield NewRows(file, of_kinds(piece.source, kinds, dates), labels_of_piece(files, file, piece))


def labels_of_piece(files: Sequence[Path], file: Path, piece: Piece) -> pa.Table:
    """The rows' numbers and the columns that are kept."""
    labels = labels_of(files, file, row=np.arange(len(piece.source.frame)) + piece.first)
    for name in piece.kept.column_names:
        labels = labels.append_column(piece.kept.field(name), piece.kept[name])
    return labels


def of_kinds(
    source: Source, kinds: Mapping[str, Kind], dates: Mapping[str, str | None] | None = None
) -> pd.DataFrame:
    """The columns brought to their kinds, where the line of a wrong value is known; `dates`: how they are written."""
    changed = {
        name: as_numbers(source.frame[name], source.place, _MEND)
        if kind == "numeric"
        else as_dates(source.frame[name], source.place, (dates or {}).get(name))
        for name, kind in kinds.items()
        if kind in ("numeric", "date")
    }
    return source.frame.assign(**changed)

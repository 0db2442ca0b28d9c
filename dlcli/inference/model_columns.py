"""The columns of a saved model, which say how the cells of new rows are read."""

from __future__ import annotations

from pathlib import Path

from dlcli.datasets.reading.columns import Columns
from dlcli.inference.columns_file import recorded_columns
from dlcli.preprocessing.base import NeedsColumns, Preprocessing


def read_columns(folder: Path, preprocessing: Preprocessing) -> Columns | None:
    """Return the columns of a model folder, or those that the preprocessing of an earlier version needs.

    Raises:
        CorruptRun: The file is damaged.
    """
    columns = recorded_columns(folder)
    if columns is None and isinstance(preprocessing, NeedsColumns):
        return Columns.of_kinds(preprocessing.needed_columns(), getattr(preprocessing, "dates_written_", {}))
    return columns

"""The columns of a saved model (`columns.json`), which say how the cells of new rows are read."""

from __future__ import annotations

from pathlib import Path

from dlcli.datasets.reading.columns import Columns
from dlcli.gate.documents import read_json
from dlcli.preprocessing.base import NeedsColumns, Preprocessing
from dlcli.tracking.manifest import Manifest, check_model

COLUMNS = "columns.json"


def read_columns(folder: Path, preprocessing: Preprocessing | None = None) -> Columns | None:
    """Return the columns of a model folder, or those that the preprocessing of an earlier version needs.

    Raises:
        CorruptRun: The file is damaged.
    """
    manifest = Manifest.load(folder)
    if (folder / COLUMNS).exists() or (manifest is not None and COLUMNS in manifest.accepted):
        check_model(folder, COLUMNS)
        return Columns.from_json(read_json(folder / COLUMNS, "the model's columns"), str(folder / COLUMNS))
    if isinstance(preprocessing, NeedsColumns):
        return Columns.of_kinds(preprocessing.needed_columns(), getattr(preprocessing, "dates_written_", {}))
    return None

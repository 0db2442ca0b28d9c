"""`columns.json`, the columns of a saved model, by which the cells of new rows are read."""

from __future__ import annotations

from pathlib import Path

from dlcli.datasets.reading.columns import Columns
from dlcli.gate.documents import read_json
from dlcli.tracking.manifest import Manifest, check_model

COLUMNS = "columns.json"


def recorded_columns(folder: Path) -> Columns | None:
    """Return the columns of a model folder; None if it has none.

    Raises:
        CorruptRun: The file is damaged.
    """
    manifest = Manifest.load(folder)
    if not (folder / COLUMNS).exists() and (manifest is None or COLUMNS not in manifest.accepted):
        return None
    check_model(folder, COLUMNS)
    return Columns.from_json(read_json(folder / COLUMNS, "the model's columns"), str(folder / COLUMNS))

"""A table of paths and labels, as a listing of image files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.class_folders import Entry, Listing
from dlcli.errors import DataError


def list_table(file: Path, target: str | None, image: str | None) -> Listing:
    """The images that a table names, with their labels; paths are relative to the table's folder.

    Raises:
        DataError: the table cannot be read, a column or a file is missing, or a label is.
    """
    try:
        table = (
            pd.read_parquet(file)
            if file.suffix == ".parquet"
            else pd.read_csv(file, sep=None, engine="python")
        )
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as a table: {str(error).splitlines()[0]}", str(file)) from error
    columns = [str(column) for column in table.columns]
    if target is None:
        raise DataError("which column holds the labels?", "dataset.target", f"{choices(columns)}")
    image = image or columns[0]
    for key, column in (("target", target), ("image", image)):
        if column not in columns:
            raise DataError(
                f"there is no column {column} in {file.name}",
                f"dataset.{key}",
                hint(did_you_mean(column, columns), choices(columns)),
            )
    for column in (image, target):
        missing = table[column].isna().to_numpy()
        if missing.any():
            row = int(missing.argmax()) + 2
            raise DataError(
                f"{column} is empty", f"{file}:{row}, column {column}", "Fill it, or remove the row."
            )
    entries = [_entry(file, row, str(name)) for row, name in enumerate(table[image])]
    labels = table[target]
    plain = labels.astype(float) if pd.api.types.is_float_dtype(labels) else labels.astype(str)
    return Listing(entries, plain.tolist(), [""] * len(entries), [])


def _entry(table: Path, row: int, name: str) -> Entry:
    path = table.parent / name
    if not path.is_file():
        raise DataError(
            f"there is no file {name}", f"{table}:{row + 2}", "Paths are relative to the table's folder."
        )
    return Entry(name, str(path), 0, path.stat().st_size)

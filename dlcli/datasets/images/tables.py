"""Listing image files from a table of paths and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dlcli.config.suggest import choices
from dlcli.datasets.class_folders import PARTS, FileEntry, Listing
from dlcli.datasets.tables.columns import kind_of
from dlcli.datasets.tables.files import read_table
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import make_targets
from dlcli.errors import DataError
from dlcli.files.paths import is_file


def list_table(file: Path, target: str | None, image: str | None, split: str | None = None) -> Listing:
    """List the images that a table names, with their labels; paths are relative to the table's folder.

    `split` is a column with train, val or test for each image.

    Raises:
        DataError: the table cannot be read, or a column, file or label is missing.
    """
    types = {name: "text" for name in (image, target, split) if name is not None}
    source = read_table(file, types=types, missing=[""])  # a class may be named None, or 007
    columns = list(source.frame.columns)
    if target is None:
        raise DataError("the column of labels is not given", "dataset.target", choices(columns))
    source.require([target], "dataset.target")
    entries = image_entries(source, image)
    source.require([split] if split else [], "dataset.split")
    found = make_targets(source, [target], {target: _kind(source.frame[target])})
    labels = [found.classes[code] for code in found.y] if found.classes else found.y.tolist()
    return Listing(entries, labels, _parts(source, split), [])


def image_entries(source: Source, image: str | None) -> list[FileEntry]:
    """Return the files that a column of paths names; None takes the first column.

    Raises:
        DataError: the column or a file does not exist.
    """
    image = image or str(source.frame.columns[0])
    source.require([image], "dataset.image")
    return [_entry(source, row, image, name) for row, name in enumerate(source.frame[image])]


def _kind(labels: pd.Series) -> str:
    """Return the kind of labels: numbers with a decimal point are numeric, whole numbers are always categorical."""
    numbers = pd.to_numeric(labels, errors="coerce") if kind_of(labels) == "categorical" else labels
    plain = pd.api.types.is_float_dtype(numbers.dtype) and numbers.notna().all()
    return "numeric" if plain else "categorical"


def _parts(source: Source, column: str | None) -> list[str]:
    """Return train, val or test for each row, which may be given by any of their usual names."""
    words = source.split_column(column, "split")
    if words is None:
        return [""] * len(source.frame)
    for row, word in enumerate(words):
        if word not in PARTS:
            raise DataError(
                f"{word!r} is not a part of a split",
                source.place(row, str(column)),
                f"Use {', '.join(PARTS)}.",
            )
    return [PARTS[word] for word in words]


def _entry(source: Source, row: int, column: str, name: Any) -> FileEntry:
    if pd.isna(name):
        raise DataError(f"{column} is empty", source.place(row, column), "Fill it in, or remove the row.")
    path = source.file.parent / str(name)
    if not is_file(path):
        raise DataError(
            f"there is no file {name}", source.place(row), "Give paths relative to the table's folder."
        )
    return FileEntry(str(name), str(path), 0, path.stat().st_size)

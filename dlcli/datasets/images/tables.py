"""A table of paths and labels, as a listing of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dlcli.config.suggest import choices
from dlcli.datasets.class_folders import PARTS, Entry, Listing
from dlcli.datasets.tables.columns import kind_of
from dlcli.datasets.tables.files import read_table
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import make_targets
from dlcli.errors import DataError
from dlcli.files.paths import is_file


def list_table(file: Path, target: str | None, image: str | None, split: str | None = None) -> Listing:
    """The images that a table names, with their labels; paths are relative to the table's folder.

    `split` is the column that says of each whether it trains, validates or tests.

    Raises:
        DataError: the table cannot be read, a column or a file is missing, or a label is.
    """
    words = {name: "text" for name in (image, target, split) if name is not None}
    source = read_table(file, types=words, missing=[""])  # a class may be called None, or 007
    columns = list(source.frame.columns)
    if target is None:
        raise DataError("which column holds the labels?", "dataset.target", choices(columns))
    source.need([target], "dataset.target")
    entries = image_entries(source, image)
    source.need([split] if split else [], "dataset.split")
    found = make_targets(source, [target], {target: _kind(source.frame[target])})
    labels = [found.classes[code] for code in found.y] if found.classes else found.y.tolist()
    return Listing(entries, labels, _parts(source, split), [])


def image_entries(source: Source, image: str | None) -> list[Entry]:
    """The files that a column of paths (None: the first) names.

    Raises:
        DataError: there is no such column, or no such file.
    """
    image = image or str(source.frame.columns[0])
    source.need([image], "dataset.image")
    return [_entry(source, row, image, name) for row, name in enumerate(source.frame[image])]


def _kind(labels: pd.Series) -> str:
    """Whole numbers are classes, however many there are; numbers with a decimal point are a regression's targets."""
    numbers = pd.to_numeric(labels, errors="coerce") if kind_of(labels) == "categorical" else labels
    plain = pd.api.types.is_float_dtype(numbers.dtype) and numbers.notna().all()
    return "numeric" if plain else "categorical"


def _parts(source: Source, column: str | None) -> list[str]:
    """train, val or test, by any of their usual names."""
    words = source.split_column(column, "split")
    if words is None:
        return [""] * len(source.frame)
    for row, word in enumerate(words):
        if word not in PARTS:
            raise DataError(
                f"{word!r} is no part of a split", source.place(row, str(column)), f"Use {', '.join(PARTS)}."
            )
    return [PARTS[word] for word in words]


def _entry(source: Source, row: int, column: str, name: Any) -> Entry:
    if pd.isna(name):
        raise DataError(f"{column} is empty", source.place(row, column), "Fill it, or remove the row.")
    path = source.file.parent / str(name)
    if not is_file(path):
        raise DataError(
            f"there is no file {name}", source.place(row), "Paths are relative to the table's folder."
        )
    return Entry(str(name), str(path), 0, path.stat().st_size)

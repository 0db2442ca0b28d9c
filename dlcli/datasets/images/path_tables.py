"""List files from a table of paths and labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dlcli.config.suggest import choices
from dlcli.datasets.folders.class_folders import Listing
from dlcli.datasets.folders.part_words import SHOWN, part_of
from dlcli.datasets.folders.stored import FileEntry, Stored
from dlcli.datasets.images.image_paths import PathFinder
from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.column import Kind
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.tables.label_lists import with_label_columns
from dlcli.datasets.tables.read_table import read_raw
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import make_targets, marked_classes
from dlcli.datasets.tables.typed_frames import kind_of
from dlcli.errors import DataError


def list_table(
    file: Path,
    targets: Sequence[str],
    paths: str | None,
    split: str | None = None,
    group: str | None = None,
    key: str = "dataset.image",
    suffixes: Collection[str] | None = None,
    separator: str | None = None,
) -> Listing:
    """List the files named by a table, with their labels; paths are relative to the table's folder.

    Args:
        file: the table.
        targets: the column of labels; several columns of numbers, or of 0 and 1, or a column of lists, for which the
            labels of a row are a tuple.
        paths: the column of paths; None takes the first one.
        split: a column with train, val or test for each file.
        group: a column whose rows of equal values are kept together.
        key: the key that names the column of paths, for messages.
        suffixes: suffixes that are tried for paths without one; None takes those of images.
        separator: the sign between several labels in a cell.

    Raises:
        DataError: the table cannot be read, or a column, file or label is missing.
    """
    source, names = _read(file, paths, (split, group), targets, separator)
    if not targets:
        columns = list(source.frame.columns)
        raise DataError("the column of labels is not given", "dataset.target", choices(columns))
    source.require(names, "dataset.target")
    entries, notices = image_entries(source, paths, key, suffixes)
    source.require([split] if split else [], "dataset.split")
    source.require([group] if group else [], "dataset.group")
    single = len(names) == 1
    kinds = {name: _kind(source.frame[name]) for name in names} if single else {}
    found = make_targets(source, names, kinds, keys=())
    remedy = "Leave these rows out of the table if it does."
    notices += marked_classes(found.classes, found.y, str(file), remedy)
    labels: list[Any] = found.y.tolist() if single else list(map(tuple, found.y.tolist()))
    if single and found.classes:
        labels = [found.classes[code] for code in found.y]
    groups = groups_of_column(source, group)
    return Listing(entries, labels, split_parts(source, split), [], tuple(notices), groups, found.note, names)


def groups_of_column(source: Source, group: str | None) -> list[str] | None:
    """Return the group of each file by a column; None without one.

    Raises:
        DataError: a file has no group.
    """
    found = source.split_column(group, "group")
    return None if found is None else [str(name) for name in found]


def read_paths(file: Path, image: str | None, others: Sequence[str | None] = ()) -> Source:
    """Read a table of paths with all cells as text, because a file may be named 00012, and a class 007 or None."""
    return _read(file, image, others)[0]


def _read(
    file: Path,
    image: str | None,
    others: Sequence[str | None],
    targets: Sequence[str] = (),
    separator: str | None = None,
) -> tuple[Source, list[str]]:
    """Read a table of paths, with several targets as numbers and all other cells as text; return the targets, too."""

    def read(names: Sequence[str | None]) -> tuple[Source, list[str]]:
        texts = list(filter(None, names))
        raw, found = with_label_columns(read_raw(file, None, [*texts, *targets]), targets, separator)
        kinds: dict[str, Kind] = dict.fromkeys(found, "text" if len(found) == 1 else "numeric")
        kinds |= dict.fromkeys(texts, "text")
        return raw.decided(ReadingOptions(types=kinds, missing=[""])), found

    source, found = read((image, *others))
    first = str(source.frame.columns[0])
    if image is None and kind_of(source.frame[first]) != "categorical":
        return read((first, *others))
    return source, found


def image_entries(
    source: Source, image: str | None, key: str = "dataset.image", suffixes: Collection[str] | None = None
) -> tuple[list[Stored], list[Notice]]:
    """Return the files named by a column of paths, and notices of changed paths; None takes the first column.

    `key` is the key that names the column, for messages; `suffixes` are those of the files, None for images.

    Raises:
        DataError: the column or a file does not exist.
    """
    image = image or str(source.frame.columns[0])
    source.require([image], key)
    finder = PathFinder(source.file.parent, suffixes)
    entries = [_entry(source, row, image, name, finder) for row, name in enumerate(source.frame[image])]
    return entries, list(finder.notices(source.file))


def _kind(labels: pd.Series) -> str:
    """Return the kind of labels: numbers with a decimal point are numeric, whole numbers are categorical."""
    numbers = pd.to_numeric(labels, errors="coerce") if kind_of(labels) == "categorical" else labels
    plain = pd.api.types.is_float_dtype(numbers.dtype) and numbers.notna().all()
    return "numeric" if plain else "categorical"


def split_parts(source: Source, column: str | None) -> list[str]:
    """Return train, val or test for each row; their usual synonyms are recognized."""
    words = source.split_column(column, "split")
    if words is None:
        return [""] * len(source.frame)
    parts = [part_of(str(word)) for word in words]
    for row, part in enumerate(parts):
        if part is None:
            raise DataError(
                f"{words[row]!r} is not a part of a split", source.place(row, str(column)), f"Use {SHOWN}."
            )
    return [str(part) for part in parts]


def _entry(source: Source, row: int, column: str, name: Any, finder: PathFinder) -> Stored:
    if pd.isna(name):
        raise DataError(
            f"{column} is empty", source.place(row, column), "Fill in the cell, or remove the row."
        )
    path = finder.find(str(name), source.place(row))
    return FileEntry(str(name), str(path), 0, path.stat().st_size)

"""Texts of your own: a table of texts and labels, or a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dlcli.config.suggest import choices
from dlcli.datasets.class_folders import list_class_folders
from dlcli.datasets.data import Data
from dlcli.datasets.labelled_files import labelled
from dlcli.datasets.tables.columns import Kind
from dlcli.datasets.tables.files import read_table
from dlcli.datasets.tables.format_options import Choice, Separator, Written
from dlcli.datasets.tables.lines import codec
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import make_targets
from dlcli.datasets.tables.times import odd_times
from dlcli.datasets.texts import Texts
from dlcli.errors import DataError
from dlcli.files.paths import is_folder, typed

OnEmpty = Literal["error", "keep"]


def load(
    path: str,
    text: str | None = None,
    target: str | Sequence[str] | None = None,
    test_path: str | None = None,
    types: Mapping[str, Kind] | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    on_empty: OnEmpty = "error",
    separator: Separator = "auto",
    header: Choice = "auto",
    quotes: Choice = "auto",
    encoding: str = "utf-8",
) -> Data:
    """Texts, and a class, labels or numbers for each.

    Args:
        path: a table (.csv, .tsv, .jsonl, .parquet; columns without names are called c0, c1, ...); or a folder (or a
            .tar) of .txt files with a folder for each class, or with `train/` and `test/` (and `val/`) above those.
        text: the table's column of texts; None: the only one that no other setting names.
        target: the table's column to predict, or several of numbers, or of 0 and 1.
        test_path: a table of the same columns whose rows are the final test's.
        types: a target that is of another kind than it looks: numeric, categorical.
        group: a column whose equal values belong together.
        time: a column of dates or numbers, to be split by: the latest rows are the test.
        split: a column with the words train, val and test, or fold numbers.
        on_empty: whether a text without a letter is an error, or a row as any other.
        separator: of the table's columns; auto, as with `header` and `quotes`: found out.
        header: whether the first line names the columns.
        quotes: whether a cell may stand in quotes, which are no part of it then.
        encoding: of the table, or of the .txt files.

    Raises:
        DataError: with file, row and column.
    """
    place = typed(path)
    if is_folder(place) or place.suffix == ".tar":
        return _of_folders(place, encoding, on_empty)
    if target is None:
        raise DataError(
            "which column is to be predicted?",
            "dataset.target",
            "Give its name; c0, c1, ... without a header.",
        )
    kinds = {**(types or {}), **({text: "text"} if text is not None else {})}
    written = Written(separator, header=header, quotes=quotes, encoding=encoding)

    def read(file: Path) -> Source:
        return read_table(
            file, types=kinds, missing=[""], **written.options()
        )  # a message may say None, or NA

    source = read(place)
    targets = [target] if isinstance(target, str) else list(target)
    by = {"group": group, "time": time, "split": split}
    named = {f"dataset.{key}": [name] for key, name in {**by, "text": text}.items() if name is not None}
    source.need_all({"dataset.target": targets, **named})
    text = _text_column(source, text, {*targets, *by.values()})
    empty = _refuse_empty(source, text, on_empty)
    first = len(source.frame)
    if test_path is not None:
        test = read(typed(test_path))
        test.need([text], f"dataset.test_path ({test.file.name})")
        empty += _refuse_empty(test, text, on_empty)
        source = source.joined(test, targets)
    times = source.split_column(time, "time")
    found = make_targets(source, targets, dict(types or {}))
    return Data(
        name=place.name.partition(".")[0],
        kind="tokens",
        x=Texts.of(source.frame, text),
        y=found.y,
        classes=found.classes,
        targets=found.names,
        source=str(place),
        test_rows=np.arange(first, len(source.frame)) if test_path is not None else None,
        groups=source.split_column(group, "group"),
        times=times,
        parts=source.split_column(split, "split"),
        warnings=tuple(odd_times(source, times, time)),
        note="; ".join(filter(None, [found.note, _note(empty)])),
    )


def _text_column(source: Source, text: str | None, others: set[str | None]) -> str:
    """The column that is named, or the only one that is left."""
    if text is not None:
        return text
    left = [str(name) for name in source.frame.columns if name not in others]
    if len(left) == 1:
        return left[0]
    raise DataError(
        f"which column of {source.file.name} holds the texts?"
        if left
        else f"no column of {source.file.name} is left that could hold the texts",
        "dataset.text",
        choices(left),
    )


def _refuse_empty(source: Source, text: str, on_empty: OnEmpty) -> int:
    """How many texts are empty, if they may be."""
    empty = Texts.of(source.frame, text).empty()
    if empty.any() and on_empty == "error":
        raise _empty(source.place(int(empty.argmax()), text), int(empty.sum()))
    return int(empty.sum())


def _of_folders(place: Path, encoding: str, on_empty: OnEmpty) -> Data:
    listing = list_class_folders(place, (".txt",), "texts (.txt)", "a table of texts and labels")
    if listing.empty:
        raise DataError("there is no text in this class's folder", listing.empty[0], "Remove it, or fill it.")
    texts = []
    for entry in listing.entries:
        try:
            texts.append(entry.read().decode(codec(encoding)))
        except UnicodeDecodeError as error:
            raise DataError(
                f"is no {encoding}: byte 0x{error.object[error.start]:02x} at {error.start:,}",
                entry.where,
                "Give the encoding that it was written in, such as dataset.encoding=latin-1.",
            ) from error
    x = Texts.of(texts)
    empty = x.empty()
    if empty.any() and on_empty == "error":
        raise _empty(listing.entries[int(empty.argmax())].where, int(empty.sum()))
    return labelled(place, "tokens", x, listing.labels, listing.parts, note=_note(int(empty.sum())))


def _empty(where: str, number: int) -> DataError:
    more = f" (and {number - 1:,} more)" if number > 1 else ""
    return DataError(
        f"the text is empty{more}",
        where,
        "Fill it in, or dataset.on_empty=keep: it is then a text of one unknown token.",
    )


def _note(empty: int) -> str:
    return f"{empty:,} texts are empty" if empty else ""

"""Texts in a table with labels, or in one folder per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from dlcli.config.suggest import choices
from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import evaluation_columns
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import PartFolders, list_class_folders
from dlcli.datasets.labelled_files import labelled
from dlcli.datasets.plain_text import not_decoded
from dlcli.datasets.reading.column import Kind
from dlcli.datasets.tables.format_options import AutoOrBool, CellOptions, Missing, Separator
from dlcli.datasets.tables.label_lists import with_label_columns
from dlcli.datasets.tables.lines import codec
from dlcli.datasets.tables.read_table import read_raw
from dlcli.datasets.tables.source import RawTable, Source
from dlcli.datasets.tables.split_column import parts_of
from dlcli.datasets.tables.targets import (
    MissingTarget,
    drop_missing,
    dropped_notices,
    make_targets,
    marked_classes,
    with_known_classes,
)
from dlcli.datasets.tables.times import time_warnings
from dlcli.datasets.tables.types_file import given_types
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.untrained import untrained_classes
from dlcli.errors import DataError
from dlcli.files.paths import is_folder, typed

OnEmpty = Literal["error", "keep"]


def load(
    path: str,
    text: str | None = None,
    target: str | Sequence[str] | None = None,
    test_path: str | None = None,
    types: Mapping[str, Kind] | str | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    on_empty: OnEmpty = "error",
    missing_target: MissingTarget = "error",
    missing_values: Missing = None,
    separator: Separator = "auto",
    header: AutoOrBool = "auto",
    quotes: AutoOrBool = "auto",
    encoding: str = "utf-8",
    parts: PartFolders = "auto",
) -> Data:
    """Load texts with a class, labels or numbers for each.

    Args:
        path: a table (.csv, .tsv, .jsonl, .parquet; columns without a header are named c0, c1, ...); or a folder (or a
            .tar or .zip) of .txt files with one folder per class, optionally below `train/`, `test/` and `val/`.
        text: the table's text column; None takes the only one that no other setting names.
        target: the table's column to predict, or several columns of numbers, or of 0 and 1. A column of lists (.jsonl,
            .parquet) has the labels of each text.
        test_path: a table with the same columns whose rows are the final test rows.
        types: kind of a target that differs from the detected one: numeric, categorical; or a YAML file of kinds.
        group: a column whose equal values form a group.
        time: a column of dates or numbers for splits in time; the latest rows are the test rows.
        split: a column with train, val and test, or fold numbers.
        label_separator: the sign between several labels in a cell of the target, such as |.
        on_empty: whether a text of only whitespace is an error, or is kept.
        missing_target: whether a row without a target is an error, or is left out before the split.
        missing_values: words that denote a missing target besides the usual ones, or by column; [] for none at all. A
            text of such a word is a text.
        separator: column separator of the table; auto detects it, as for `header` and `quotes`.
        header: whether the first line contains the column names.
        quotes: whether cells may be enclosed in quotes, which are then not part of the text.
        encoding: encoding of the table, or of the .txt files.
        parts: whether folders named train, test and the like are parts of the split; false takes them as classes.

    Raises:
        DataError: the table or a file is invalid, with file, row and column.
    """
    place = typed(path)
    if is_folder(place) or is_archive(place):
        return _from_folders(place, encoding, on_empty, parts)
    if target is None:
        raise DataError(
            "the column to predict is not given",
            "dataset.target",
            "Give its name, such as c0 for a file without a header.",
        )
    kinds = given_types(types)
    targets = asked = [target] if isinstance(target, str) else list(target)
    by = {"group": group, "time": time, "split": split}
    options = CellOptions(separator, header, quotes, encoding)
    settings = {f"dataset.{key}": [name] for key, name in {**by, "text": text}.items() if name is not None}
    named = [*targets, *(name for names in settings.values() for name in names)]

    def read(file: Path) -> RawTable:
        return read_raw(file, options, named)

    raw, targets = with_label_columns(read(place), targets, label_separator)
    by_column = replace(options, missing_values=missing_values).by_column()
    raw.origin.require_all({"dataset.target": targets, **settings, **by_column})
    text = _text_column(raw, text, {*targets, *by.values()})
    used = {text, *targets, *by.values()}
    if (expected := evaluation_columns()) is not None:
        source = raw.read(expected)
    else:
        missing = _missing_by_column(missing_values, text, [name for name in used if name is not None])
        options = replace(options, missing_values=missing)
        reading = options.reading({**kinds, text: "text"}, parts=[split] if split else [])
        source = raw.decided(reading, [name for name in raw.names if name not in used])
    source, dropped = drop_missing(source, targets, missing_target)
    empty = _count_empty(source, text, on_empty)
    first = len(source.frame)
    if test_path is not None:
        test_raw, _ = with_label_columns(read(typed(test_path)), asked, label_separator, known=targets)
        test_raw.origin.require_all(
            {f"dataset.test_path ({test_raw.origin.file.name})": list(source.frame.columns)}
        )
        test, more = drop_missing(test_raw.read(source.columns), targets, missing_target)
        empty += _count_empty(test, text, on_empty)
        source, dropped = source.joined(test), dropped + more
        source = replace(source, warnings=(*source.warnings, *test_raw.warnings))
    times = source.split_column(time, "time")
    found = make_targets(source, targets, dict(kinds))
    if test_path is not None:
        found = with_known_classes(found, first, source, ", ".join(targets))
    own = parts_of(source, split, first if test_path is not None else None)
    notes = [found.note, _note(empty)]
    roles = {text: "text", **dict.fromkeys(targets, "target")}
    return Data(
        name=place.name.partition(".")[0],
        kind="tokens",
        x=Texts.of(source.frame, text),
        y=found.y,
        classes=found.classes,
        targets=found.names,
        source=str(place),
        test_rows=own.test,
        val_rows=own.val,
        groups=source.split_column(group, "group"),
        times=times,
        parts=own.words,
        warnings=(*source.warnings, *time_warnings(source, times, time)),
        note="; ".join(filter(None, notes)),
        notices=(
            *dropped_notices(dropped, len(source.frame), warns=evaluation_columns() is not None),
            *(
                marked_classes(found.classes, found.y, f"column {targets[0]}")
                if missing_values is None
                else ()
            ),
            *untrained_classes(found.y, found.classes, own.words, "texts"),
        ),
        columns=source.columns.with_roles({name: role for role, name in by.items() if name} | roles),
    )


def _missing_by_column(given: Missing, text: str, used: Sequence[str]) -> Mapping[str, Sequence[str | float]]:
    """Return the words that denote a missing value by column: those that are given, and none but "" for the texts."""
    if given is None or isinstance(given, Mapping):
        return {**(given or {}), text: ()}
    return {**dict.fromkeys(used, given), text: ()}


def _text_column(raw: RawTable, text: str | None, others: set[str | None]) -> str:
    """Return the given text column, or the only one that no other setting names."""
    if text is not None:
        return text
    candidates = [str(name) for name in raw.names if name not in others]
    candidates = [name for name in candidates if name not in raw.index] or candidates
    if len(candidates) == 1:
        return candidates[0]
    raise DataError(
        f"{raw.origin.file.name} has several columns that may contain the texts"
        if candidates
        else f"there is no column left in {raw.origin.file.name} for the texts",
        "dataset.text",
        choices(candidates),
    )


def _count_empty(source: Source, text: str, on_empty: OnEmpty) -> int:
    """Return the number of empty texts; raise an error if there are any and `on_empty` is error."""
    empty = Texts.of(source.frame, text).empty()
    if empty.any() and on_empty == "error":
        raise _empty_error(source.place(int(empty.argmax()), text), int(empty.sum()))
    return int(empty.sum())


def _from_folders(place: Path, encoding: str, on_empty: OnEmpty, parts: PartFolders) -> Data:
    listing = list_class_folders(place, (".txt",), "texts (.txt)", "a table of texts and labels", parts)
    if listing.empty:
        raise DataError("the class folder contains no text", listing.empty[0], "Remove it, or add texts.")
    texts = []
    for entry in listing.entries:
        content = entry.read()
        try:
            texts.append(content.decode(codec(encoding)))
        except UnicodeDecodeError as error:
            raise not_decoded(content, error, entry.where, encoding) from error
    x = Texts.of(texts)
    empty = x.empty()
    if empty.any() and on_empty == "error":
        raise _empty_error(listing.entries[int(empty.argmax())].where, int(empty.sum()))
    return labelled(
        place,
        "tokens",
        x,
        listing.labels,
        listing.parts,
        note=_note(int(empty.sum())),
        notices=listing.notices,
    )


def _empty_error(where: str, number: int) -> DataError:
    more = f" (and {number - 1:,} more)" if number > 1 else ""
    return DataError(
        f"the text is empty{more}",
        where,
        "Fill it in, or set dataset.on_empty=keep to treat it as one unknown token.",
    )


def _note(empty: int) -> str:
    return f"{empty:,} texts are empty" if empty else ""

"""Targets that are lists of labels, such as `["rain", "wind"]`, as a column of 0 and 1 for each label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.suggest import choices
from dlcli.datasets.evaluation_only import evaluation_labels
from dlcli.datasets.reading.column import without_dictionaries
from dlcli.datasets.tables.source import RawTable
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted


def is_label_list(kind: pa.DataType) -> bool:
    """Return whether a type is that of lists of words or whole numbers."""
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    item = kind.value_type
    return types.is_string(item) or types.is_large_string(item) or types.is_integer(item)


def with_label_columns(
    raw: RawTable,
    targets: Sequence[str],
    separator: str | None = None,
    *,
    known: Sequence[str] = (),
    names: Sequence[str] = (),
) -> tuple[RawTable, list[str]]:
    """Return the table with columns of 0 and 1 instead of a target of lists, and the names of all targets.

    An empty list or cell is a row without labels; a row without a list has no target.

    Args:
        raw: the table.
        targets: names of the targets.
        separator: the sign between the labels in a cell of words; None if each cell of words is a class.
        known: the labels of other rows, if these rows may have no others; evaluation-only rows have those of the model.
        names: names of the labels, if the lists contain their numbers from 0.

    Raises:
        DataError: a label is unknown, or has the name of another column.
    """
    if separator is not None:
        raw = _with_separated(raw, targets, separator, is_new=not (known or evaluation_labels()))
    if len(targets) != 1 or targets[0] not in raw.lists or not is_label_list(raw.lists[targets[0]].type):
        return raw, list(targets)
    name = targets[0]
    lists = raw.lists[name]
    known = known or evaluation_labels()
    items = pc.list_flatten(lists)
    if items.null_count:
        raise DataError(
            "a list contains null", f"{raw.origin.file}, column {name}", "Leave it out of the list."
        )
    words = pa.array(names).take(items.combine_chunks()) if names else items.cast(pa.string())
    codes, found = pd.factorize(words.to_numpy(zero_copy_only=False), sort=True)
    labels = list(known) or list(names) or found.tolist()
    _check(raw, name, found.tolist(), labels, is_open=not known)
    has = np.zeros((len(lists), len(labels)), dtype=np.int64)
    columns = np.array([labels.index(label) for label in found], dtype=np.int64)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    has[np.repeat(np.arange(len(lists)), lengths), columns[codes]] = 1
    missing = lists.is_null().to_numpy()
    table = raw.table
    for number, label in enumerate(labels):
        table = table.append_column(label, pa.array(has[:, number], mask=missing))
    others = {column: kind for column, kind in raw.origin.unsupported.items() if column != name}
    origin = replace(raw.origin, frame=pd.DataFrame(columns=table.column_names), unsupported=others)
    return replace(raw, table=table, origin=origin, lists={}), labels


def _with_separated(raw: RawTable, targets: Sequence[str], separator: str, *, is_new: bool) -> RawTable:
    """Return the table with a target of words, joined by a sign, as lists of words."""
    key = "dataset.label_separator"
    if len(targets) > 1:
        raise DataError(
            "splits the cells of one target, not of several", key, "Name one column: dataset.target."
        )
    name = targets[0]
    if name not in raw.names:  # a column that does not exist is reported by the caller
        return raw
    cells = without_dictionaries(raw.table.column(name)).cast(pa.string()).to_pylist()
    found = [[word.strip() for word in (cell or "").split(separator) if word.strip()] for cell in cells]
    where = f"{raw.origin.file}, column {name}"
    if is_new and max(map(len, found)) < 2:
        hint = "Give the sign that is between the labels, or leave it out if each cell is a class."
        raise DataError(f"no cell has labels that are joined by {separator!r}", where, hint)
    empty = sum(not words for words in found)
    message = f"{counted(empty, 'row')} with an empty cell {'has' if empty == 1 else 'have'} no labels"
    doubt = Problem(message, where, "Leave out these rows if their labels are unknown.")
    table = raw.table.drop_columns([name])
    origin = replace(raw.origin, frame=pd.DataFrame(columns=table.column_names))
    warnings = (*raw.warnings, doubt) if empty else raw.warnings
    lists = {name: pa.chunked_array([pa.array(found, pa.list_(pa.string()))])}
    return replace(raw, table=table, origin=origin, lists=lists, warnings=warnings)


def _check(raw: RawTable, name: str, found: Sequence[str], labels: Collection[str], *, is_open: bool) -> None:
    where = f"{raw.origin.file}, column {name}"
    if unknown := sorted(set(found) - set(labels)):
        raise DataError(f"the label {unknown[0]} is not one of the training rows", where, choices(labels))
    if is_open and (twice := sorted(set(labels) & {name, *raw.names})):
        message = f"the label {twice[0]} has the name of a column"
        raise DataError(message, where, "Rename the column, since each label becomes a column.")
    if len(labels) < 2:
        names = ", ".join(labels) or "none"
        raise DataError(f"there are fewer than two labels: {names}", where, "Give at least two labels.")

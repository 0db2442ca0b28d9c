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
from dlcli.datasets.tables.source import RawTable
from dlcli.errors import DataError


def is_label_list(kind: pa.DataType) -> bool:
    """Return whether a type is that of lists of words or whole numbers."""
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    item = kind.value_type
    return types.is_string(item) or types.is_large_string(item) or types.is_integer(item)


def with_label_columns(
    raw: RawTable, targets: Sequence[str], known: Sequence[str] = (), names: Sequence[str] = ()
) -> tuple[RawTable, list[str]]:
    """Return the table with columns of 0 and 1 instead of a target of lists, and the names of all targets.

    An empty list is a row without labels; a row without a list has no target.

    Args:
        raw: the table.
        targets: names of the targets.
        known: the labels of other rows, if these rows may have no others; evaluation-only rows have those of the model.
        names: names of the labels, if the lists contain their numbers from 0.

    Raises:
        DataError: a label is unknown, or has the name of another column.
    """
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

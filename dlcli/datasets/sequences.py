"""Sequences with a class or a number each, from a table with one row per step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import evaluation_columns
from dlcli.datasets.measurements import check_no_missing, numeric_column
from dlcli.datasets.ragged_rows import RaggedRows, one_length, order_of_steps
from dlcli.datasets.reading.stand_ins import stand_ins
from dlcli.datasets.tables.format_options import (
    AutoOrBool,
    CellOptions,
    DatePattern,
    Decimal,
    Missing,
    Thousands,
)
from dlcli.datasets.tables.label_lists import with_label_columns
from dlcli.datasets.tables.read_table import read_raw
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import make_targets, marked_classes, with_known_classes
from dlcli.errors import DataError
from dlcli.files.paths import typed

_HINT = "Fill it in, or remove the step."


def load(
    path: str,
    id: str,
    target: str | Sequence[str],
    time: str | None = None,
    inputs: Sequence[str] | None = None,
    test_path: str | None = None,
    label_separator: str | None = None,
    missing_values: Missing = None,
    decimal: Decimal = "auto",
    thousands: Thousands = "auto",
    day_first: AutoOrBool = "auto",
    date_format: DatePattern = None,
) -> Data:
    """Load sequences; the steps of a sequence may be anywhere in the file.

    Args:
        path: the file, in any table format.
        id: the column whose equal values form a sequence.
        target: the column of the class or number to predict, or several columns of numbers, or of 0 and 1, which are
            labels; equal in all steps of a sequence.
        time: a column of dates or numbers that orders the steps of a sequence; by default they are in file order.
        inputs: numeric columns of features of each step; by default all other columns.
        test_path: a file with the same columns whose sequences are the final test rows, whatever their ids.
        label_separator: the sign between several labels in a cell of the target, such as |.
        missing_values: words that denote a missing value besides the usual ones, or by column; [] for none at all.
        decimal: decimal sign of numbers; auto decides on whole columns, as for the next three.
        thousands: sign of thousands in numbers.
        day_first: whether days come before months in dates.
        date_format: strptime's pattern of dates, or patterns by column.

    Raises:
        DataError: the table is invalid, with file, row and column.
    """
    options = CellOptions(
        decimal=decimal,
        thousands=thousands,
        day_first=day_first,
        date_format=date_format,
        missing_values=missing_values,
    )
    targets = asked = [target] if isinstance(target, str) else list(target)
    named = [id, *targets, *filter(None, [time]), *(inputs or ())]
    raw, targets = with_label_columns(read_raw(typed(path), options, named), targets, label_separator)
    origin = raw.origin
    named = [id, *targets, *filter(None, [time]), *(inputs or ())]
    origin.require([id], "dataset.id")
    origin.require(targets, "dataset.target")
    origin.require([time] if time else [], "dataset.time")
    origin.require(list(inputs or ()), "dataset.inputs")
    origin.require_all(options.by_column())
    index = [name for name in raw.index if name not in named]
    if (expected := evaluation_columns()) is not None:
        source = raw.read(options.applied_to(expected))
    else:
        unused = [name for name in raw.names if name not in named] if inputs is not None else []
        source = raw.decided(options.reading(times=[time] if time else []), {*unused, *index})
    steps = len(source.frame)
    if test_path is not None:
        test = read_raw(typed(test_path), options, [*named, *asked])
        test, _ = with_label_columns(test, asked, label_separator, known=targets)
        test.origin.require(list(source.frame.columns), f"dataset.test_path ({test.origin.file.name})")
        source = source.joined(test.read(source.columns))
    frame = source.frame
    taken = {id, *targets, time}
    columns = list(inputs) if inputs is not None else [name for name in frame.columns if name not in taken]
    if not columns:
        raise DataError(
            f"there is no column left in {source.file.name} to predict {', '.join(targets)} from",
            "dataset.inputs",
        )
    for name in (id, *([time] if time else [])):
        check_no_missing(source, name, _HINT)

    codes, names = frame[id].factorize()
    tested = np.arange(len(frame)) >= steps
    codes = pd.factorize(codes + len(names) * tested)[0]  # the same id in both files denotes two sequences
    order = order_of_steps(codes, frame[time] if time else None, source.place)
    lengths = np.bincount(codes)
    starts = lengths.cumsum() - lengths
    values = np.stack([numeric_column(source, name, _HINT) for name in columns], axis=1)[order]
    found = make_targets(source, targets, {}, keys=("missing_values",))
    if test_path is not None:
        found = with_known_classes(found, steps, source, ", ".join(targets))
    rows = order[starts]
    remedy = "If it does, leave out these sequences."
    marked = marked_classes(found.classes, found.y[rows], f"column {targets[0]}", remedy)
    _check_one_target(source, targets, id, found.y, rows[codes])
    return Data(
        name=source.file.name.partition(".")[0],
        kind="sequence",
        x=RaggedRows(values, tuple(columns), starts, lengths, one_length(lengths), id, time),
        y=found.y[rows],
        classes=found.classes,
        targets=found.names,
        source=str(source.file),
        test_rows=np.flatnonzero(tested[rows]) if test_path is not None else None,
        note=found.note,
        warnings=source.warnings,
        notices=(*stand_ins(frame, columns, missing_values), *marked) if expected is None else (),
        columns=source.columns.only(
            [*columns, *named],
            {id: "id", **dict.fromkeys(targets, "target"), **({time: "time"} if time else {})},
        ),
    )


def _check_one_target(
    source: Source, targets: Sequence[str], id: str, y: np.ndarray, first: np.ndarray
) -> None:
    """Raise an error unless all steps of a sequence have the targets of its first step, in row `first` `(S,)`."""
    other = (y != y[first]).reshape(len(y), len(targets))
    if other.any():
        row, column = divmod(int(other.argmax()), len(targets))
        name = targets[column]
        here, there = source.frame[name].iloc[[row, first[row]]]
        raise DataError(
            f"the sequence {source.frame[id].iloc[row]} has two targets, {there} and {here}",
            source.place(row, name),
            "Give all its steps the same target, or split it into sequences with different ids.",
        )

"""Tables in CSV, Parquet, JSON or Excel files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from dlcli.config.pasted import pasted
from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import evaluation_columns
from dlcli.datasets.notices import doubts_of
from dlcli.datasets.reading.column import Kind
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.stand_ins import stand_ins
from dlcli.datasets.tables.column_selection import require_of_model
from dlcli.datasets.tables.format_options import (
    AutoOrBool,
    CellOptions,
    DatePattern,
    Decimal,
    Missing,
    Separator,
    Thousands,
)
from dlcli.datasets.tables.label_lists import with_label_columns
from dlcli.datasets.tables.read_table import read_raw
from dlcli.datasets.tables.source import RawTable, Source
from dlcli.datasets.tables.split_column import parts_of, unused_split
from dlcli.datasets.tables.targets import (
    MissingTarget,
    drop_missing,
    dropped_notices,
    make_targets,
    marked_classes,
    with_known_classes,
)
from dlcli.datasets.tables.times import time_warnings
from dlcli.datasets.tables.typed_frames import LARGEST, kind_of
from dlcli.datasets.tables.types_file import given_types
from dlcli.datasets.untrained import untrained_classes
from dlcli.errors import DataError
from dlcli.files.paths import typed


def load(
    path: str,
    target: str | Sequence[str],
    test_path: str | None = None,
    types: Mapping[str, Kind] | str | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    missing_target: MissingTarget = "error",
    missing_values: Missing = None,
    decimal: Decimal = "auto",
    thousands: Thousands = "auto",
    day_first: AutoOrBool = "auto",
    date_format: DatePattern = None,
    trim: bool = True,
    separator: Separator = "auto",
    header: AutoOrBool = "auto",
    encoding: str = "utf-8",
    sheet: str | None = None,
) -> Data:
    """Load a table's raw rows, and the targets from one or several columns.

    Args:
        path: .csv or .tsv (optionally compressed with gzip, bz2, xz, zstd or zip), .parquet, .jsonl, .json or .xlsx;
            columns without a header are named c0, c1, ...
        target: the column to predict, or several columns of numbers or of labels 0 and 1. A column of lists (.jsonl,
            .parquet) has the labels of each row.
        test_path: a file with the same columns whose rows are the final test rows.
        types: kinds of columns that differ from the detected ones: numeric, categorical, boolean, date, text; or a YAML
            file of them.
        drop: columns to leave out.
        group: a column whose equal values form a group; neither it nor `split` is a feature.
        time: a column of dates or numbers for splits in time; the latest rows are the test rows. It is a feature only
            if it holds dates.
        split: a column with train, val and test, or fold numbers.
        label_separator: the sign between several labels in a cell of the target, such as |.
        missing_target: whether a row without a target is an error, or is left out before the split.
        missing_values: words that denote a missing value besides the usual ones, or by column; [] for none at all.
        decimal: decimal sign of numbers; auto decides on whole columns, as for the next three.
        thousands: sign of thousands in numbers.
        day_first: whether days come before months in dates.
        date_format: strptime's pattern of dates, or patterns by column.
        trim: whether white space around words is removed.
        separator: column separator of a text file; auto detects it, as for `header`.
        header: whether the first line of a text file contains the column names.
        encoding: encoding of a text file.
        sheet: sheet of an Excel file; None takes the first.

    Raises:
        DataError: the table is invalid, or can be read in two ways, with file, row and column.
    """
    kinds = given_types(types)
    options = CellOptions(
        separator, header, encoding=encoding, sheet=sheet, decimal=decimal, thousands=thousands, day_first=day_first,
        date_format=date_format, missing_values=missing_values, trim=trim,
    )  # fmt: skip
    targets = asked = [target] if isinstance(target, str) else list(target)
    by = {"group": group, "time": time, "split": split}
    named = {*targets, *kinds, *drop, *filter(None, by.values())}
    known = evaluation_columns()
    reading = options.reading(kinds, [time] if time else [], [split] if split else [])
    raw = read_raw(typed(path), options, named, reading if known is None else None)
    raw, targets = with_label_columns(raw, targets, label_separator)
    if known is not None:
        return _to_evaluate(raw, options.applied_to(known), targets, kinds, missing_target)

    _need(raw.origin, targets, drop, {"dataset.types": list(kinds), **options.by_column()}, by)
    index = [name for name in raw.index if name not in named]
    source = raw.decided(reading, {*drop, *index})
    source, dropped = drop_missing(source, targets, missing_target)
    first = len(source.frame)
    if test_path is not None:
        test = _read_test(test_path, options, source, asked, label_separator, targets, named)
        test, more = drop_missing(test, targets, missing_target)
        source, dropped = source.joined(test), dropped + more
        source = replace(source, warnings=(*source.warnings, *test.warnings))
    times = source.split_column(time, "time")
    found = make_targets(source, targets, dict(kinds))
    if test_path is not None:
        found = with_known_classes(found, first, source, ", ".join(targets))
    frame = source.frame
    out = {*targets, group, split}
    if time is not None and kind_of(frame[time]) != "date":
        out.add(time)
    features = [name for name in frame.columns if name not in out]
    if not features:
        raise DataError(
            f"there is no column left in {source.file.name} to predict {', '.join(targets)} from", "dataset"
        )
    _check_finite(source, features)
    parts = parts_of(source, split, first if test_path is not None else None)
    roles = dict.fromkeys(targets, "target")
    roles |= {name: role for role, name in by.items() if name is not None and name in out}
    return Data(
        name=source.file.name.partition(".")[0],
        kind="table",
        x=frame[features],
        y=found.y,
        classes=found.classes,
        targets=found.names,
        source=str(source.file),
        test_rows=parts.test,
        val_rows=parts.val,
        groups=source.split_column(group, "group"),
        times=times,
        parts=parts.words,
        warnings=(*source.warnings, *time_warnings(source, times, time)),
        note=found.note,
        notices=(
            *dropped_notices(dropped, len(frame)),
            *(
                marked_classes(found.classes, found.y, f"column {targets[0]}")
                if missing_values is None
                else ()
            ),
            *untrained_classes(found.y, found.classes, parts.words, "rows"),
            *stand_ins(frame, [*features, *targets], missing_values),
            *(unused_split(frame, features) if split is None else ()),
        ),
        columns=source.columns.with_roles(roles).named(dropped=drop, index=index),
    )


def _need(
    source: Source,
    targets: Sequence[str],
    drop: Sequence[str],
    named: Mapping[str, Sequence[str]],
    given: Mapping[str, str | None],
) -> None:
    """Raise an error unless all columns named in settings exist, and none that is used is left out."""
    uses: dict[str | None, str] = {name: key for key, name in given.items()}
    uses |= dict.fromkeys(targets, "target")
    for name in drop:
        if name in uses:
            raise DataError(
                f"column {name} is dataset.{uses[name]}, and cannot be left out",
                "dataset.drop",
                "Remove it from one of the two: the target, and columns of groups and the split, are no features.",
            )
    source.require_all(
        {
            "dataset.target": targets,
            "dataset.drop": [name for name in drop if name not in source.unsupported],
            "dataset": [name for name in source.unsupported if name not in drop],
            **named,
            **{f"dataset.{key}": [name] for key, name in given.items() if name is not None},
        }
    )


def _read_test(
    path: str,
    options: CellOptions,
    source: Source,
    asked: Sequence[str],
    label_separator: str | None,
    targets: Sequence[str],
    named: set[str],
) -> Source:
    """Read the test file by the columns of the training file, as the saved model reads new rows.

    `asked` is the target as it was given, and `targets` are those of the training file. Columns that are left out, or
    have no value in the training file, may be missing and are not read.
    """
    raw = read_raw(typed(path), options, {*named, *source.frame.columns})
    raw, _ = with_label_columns(raw, asked, label_separator, known=targets)
    frame = source.frame
    columns = source.columns.counted(frame.drop(columns=list(targets)))
    empty = {str(name) for name in frame.columns if frame[name].isna().all()} - named
    needed = [column for column in columns if column.role != "left out" and column.name not in empty]
    raw.origin.require_all(
        {f"dataset.test_path ({raw.origin.file.name})": [column.name for column in needed]}
    )
    return replace(raw.read(Columns(tuple(c for c in columns if c.name not in empty))), warnings=raw.warnings)


def _to_evaluate(
    raw: RawTable,
    known: Columns,
    targets: Sequence[str],
    kinds: Mapping[str, Kind],
    missing_target: MissingTarget,
) -> Data:
    """Return rows to evaluate a model on, read by its columns."""
    needed = [column.name for column in known if column.role == "feature"]
    require_of_model(raw.origin, needed)
    require_of_model(raw.origin, targets, can_be_empty=False)
    used = Columns(tuple(column for column in known if column.name in {*needed, *targets}))
    source, dropped = drop_missing(raw.read(used), targets, missing_target)
    _check_finite(source, needed)
    found = make_targets(source, targets, dict(kinds))
    return Data(
        name=source.file.name.partition(".")[0],
        kind="table",
        x=source.frame[needed],
        y=found.y,
        classes=found.classes,
        targets=found.names,
        source=str(source.file),
        notices=(
            *doubts_of(raw.warnings),
            *dropped_notices(dropped, len(source.frame), warns=True),
        ),
        columns=known,
    )


def _check_finite(source: Source, features: Sequence[str]) -> None:
    """Raise an error for infinite numbers, and those without a variance, since their place is still known here."""
    for name in features:
        values = source.frame[name]
        if kind_of(values) == "numeric" and pd.api.types.is_float_dtype(values.dtype):
            numbers = values.to_numpy()
            wrong = np.abs(numbers) > min(LARGEST, float(np.finfo(numbers.dtype).max))
            if wrong.any():
                row = int(wrong.argmax())
                infinite = np.isinf(values.iloc[row])
                raise DataError(
                    f"{values.iloc[row]} is infinite"
                    if infinite
                    else f"{values.iloc[row]:g} is too large: its square is infinite",
                    source.place(row, name),
                    "Leave the cell empty if there is no value."
                    if infinite
                    else f"Correct it, give the column a larger unit, or set {pasted('dataset.drop', [name])}.",
                )

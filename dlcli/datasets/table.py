"""Tables in CSV, Parquet, JSON lines or Excel files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data
from dlcli.datasets.tables.columns import (
    DATE_FORMATS,
    Kind,
    as_kind,
    date_format_of,
    is_mostly_numbers,
    kind_of,
)
from dlcli.datasets.tables.files import read_table
from dlcli.datasets.tables.format_options import AutoOrBool, Decimal, FormatOptions, Separator
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.targets import make_targets
from dlcli.datasets.tables.times import time_warnings
from dlcli.errors import DataError, Problem
from dlcli.files.paths import typed


def load(
    path: str,
    target: str | Sequence[str],
    test_path: str | None = None,
    types: Mapping[str, Kind] | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    separator: Separator = "auto",
    decimal: Decimal = "auto",
    header: AutoOrBool = "auto",
    encoding: str = "utf-8",
) -> Data:
    """Load a table's raw rows, and the targets from one or several columns.

    Args:
        path: .csv or .tsv (optionally compressed with gzip, bz2, xz, zstd or zip), .parquet, .jsonl or .xlsx; columns
            without a header are named c0, c1, ...
        target: the column to predict, or several columns of numbers or of labels 0 and 1.
        test_path: a file with the same columns whose rows are the final test rows.
        types: kinds of columns that differ from the detected ones: numeric, categorical, boolean, date, text.
        drop: columns to leave out.
        group: a column whose equal values form a group; neither it nor `split` is a feature.
        time: a column of dates or numbers for splits in time; the latest rows are the test rows. It is a feature only
            if its type in the file is a date.
        split: a column with train, val and test, or fold numbers.
        separator: column separator of a text file; auto detects it, as for `decimal` and `header`.
        decimal: decimal sign of a text file.
        header: whether the first line of a text file contains the column names.
        encoding: encoding of a text file.

    Raises:
        DataError: the table is invalid, with file, row and column.
    """
    kinds = dict(types or {})
    format_options = FormatOptions(separator, decimal, header, encoding=encoding)

    def read(file: Path) -> Source:
        return read_table(file, types=kinds, **format_options.options())

    source = read(typed(path))
    targets = [target] if isinstance(target, str) else list(target)
    _need(source, targets, drop, kinds, {"group": group, "time": time, "split": split})
    source = _typed(source, {name: kind for name, kind in kinds.items() if name not in targets})
    first = len(source.frame)
    if test_path is not None:
        source = source.joined(read(typed(test_path)), targets)
    times = source.split_column(time, "time")
    found = make_targets(source, targets, dict(kinds))
    frame = source.frame
    out = {*targets, *drop, group, split, *(name for name, kind in kinds.items() if kind == "text")}
    if time is not None and kind_of(frame[time]) != "date":
        out.add(time)
    features = [name for name in frame.columns if name not in out]
    if not features:
        raise DataError(
            f"there is no column left in {source.file.name} to predict {', '.join(targets)} from", "dataset"
        )
    _check_finite(source, features)
    return Data(
        name=source.file.name.partition(".")[0],
        kind="table",
        x=frame[features],
        y=found.y,
        classes=found.classes,
        targets=found.names,
        source=str(source.file),
        test_rows=np.arange(first, len(frame)) if test_path is not None else None,
        groups=source.split_column(group, "group"),
        times=times,
        parts=source.split_column(split, "split"),
        warnings=(
            *_string_warnings(source, [name for name in features if name not in kinds]),
            *time_warnings(source, times, time),
        ),
        note=found.note,
    )


def _need(
    source: Source,
    targets: Sequence[str],
    drop: Sequence[str],
    kinds: Mapping[str, Kind],
    given: Mapping[str, str | None],
) -> None:
    """Raise an error unless all columns named in settings exist."""
    source.require_all(
        {
            "dataset.target": targets,
            "dataset.drop": [name for name in drop if name not in source.unsupported],
            "dataset": [name for name in source.unsupported if name not in drop],
            "dataset.types": list(kinds),
            **{f"dataset.{key}": [name] for key, name in given.items() if name is not None},
        }
    )


def _typed(source: Source, kinds: Mapping[str, Kind]) -> Source:
    """Return the source with columns converted to the kinds that the user gave."""
    if not kinds:
        return source
    changed = {name: as_kind(source.frame[name], kind, source.place) for name, kind in kinds.items()}
    frame = source.frame.assign(**changed)
    frame.attrs[DATE_FORMATS] = {
        name: date_format_of(source.frame[name]) for name, kind in kinds.items() if kind == "date"
    }
    return replace(source, frame=frame)


def _string_warnings(source: Source, features: Sequence[str]) -> Iterator[Problem]:
    """Yield a warning for each column of numbers that is read as categories because of a few strings."""
    for name in features:
        values = source.frame[name]
        if kind_of(values) == "categorical" and is_mostly_numbers(values):
            wrong = pd.to_numeric(values, errors="coerce").isna().to_numpy() & values.notna().to_numpy()
            row = int(wrong.argmax())
            more = f", and {wrong.sum() - 1:,} more like it" if wrong.sum() > 1 else ""
            yield Problem(
                f"{values.iloc[row]!r} is not a number{more}: "
                "the column is read as categories although all other values are numbers",
                source.place(row, name),
                f"Correct it; if the column is categorical, set dataset.types={{{name}: categorical}}.",
            )


def _check_finite(source: Source, features: Sequence[str]) -> None:
    """Raise an error for infinite numbers, here because the line in the file is still known."""
    for name in features:
        values = source.frame[name]
        if kind_of(values) == "numeric" and pd.api.types.is_float_dtype(values.dtype):
            wrong = np.isinf(values.to_numpy())
            if wrong.any():
                row = int(wrong.argmax())
                raise DataError(
                    f"{values.iloc[row]} is infinite",
                    source.place(row, name),
                    "Leave the cell empty if there is no value.",
                )

"""Conversion of Arrow types to the column types of tables: numbers, booleans, dates and strings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dlcli.errors import DataError


def to_frame(table: pa.Table, file: Path) -> pd.DataFrame:
    """Convert a table to pandas, column by column; each Arrow column is freed if nothing else refers to the table.

    Raises:
        DataError: a column contains lists, structs or bytes.
    """
    columns = []
    for number in reversed(range(table.num_columns)):
        columns.append(to_series(table.column(number), table.field(number), file))
        table = table.remove_column(number)
    return from_columns(columns[::-1])


def to_series(column: pa.ChunkedArray, field: pa.Field, file: Path) -> pd.Series:
    """Convert one column to pandas, with its name.

    Raises:
        DataError: the column contains lists, structs or bytes.
    """
    plain = _plain(field, file)
    if plain != field.type:
        column = column.cast(plain, safe=False)
    return column.to_pandas(date_as_object=False).rename(field.name)


def from_columns(columns: Sequence[pd.Series]) -> pd.DataFrame:
    """Return a table of columns without copying them; names may be duplicate."""
    frame = pd.DataFrame(dict(enumerate(columns)), copy=False)
    frame.columns = [str(column.name) for column in columns]
    # Arrow's memory pool keeps freed memory for later use, which can be much for a large table.
    pa.default_memory_pool().release_unused()
    return frame


# Metadata of an Arrow field whose times are dates without a time of day.
DATES = {b"dlcli": b"dates"}


def dated(table: pa.Table) -> pa.Table:
    """Return the table with time columns marked as dates if no value has a time of day."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            times = table.column(number).to_pandas().dropna()
            if (times == times.dt.normalize()).all():
                table = table.set_column(number, field.with_metadata(DATES), table.column(number))
    return table


def _plain(field: pa.Field, file: Path) -> pa.DataType:
    kind, types = field.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_null(kind) or types.is_decimal(kind):
        return pa.float64()
    if types.is_time(kind) or types.is_large_string(kind):
        return pa.string()
    if types.is_timestamp(kind):
        return pa.timestamp("us")  # the time zone is dropped, since it is the same for all rows of a column
    if is_unsupported(field):
        raise unsupported_column(field.name, str(kind), file)
    return kind


def is_unsupported(field: pa.Field) -> bool:
    """Return whether a column contains lists, structs, bytes or durations, which tables do not support."""
    kind, types = field.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return (
        types.is_duration(kind)
        or types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def unsupported_column(name: str, kind: str, file: Path) -> DataError:
    """Return the error for an unsupported column that is needed."""
    return DataError(
        f"contains {kind}, but the columns of a table must be numbers, booleans, dates or strings",
        f"{file}, column {name}",
        f"Leave it out: dataset.drop=[{name}].",
    )

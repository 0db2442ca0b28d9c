"""Arrow's many types as the few that a table's columns have: numbers, booleans, dates and words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dlcli.errors import DataError


def to_frame(table: pa.Table, file: Path) -> pd.DataFrame:
    """The table in pandas, column by column: each is let go of as it is converted, if nobody else holds the table.

    Raises:
        DataError: a column holds lists, structures or bytes.
    """
    columns = []
    for number in reversed(range(table.num_columns)):
        columns.append(to_series(table.column(number), table.field(number), file))
        table = table.remove_column(number)
    return from_columns(columns[::-1])


def to_series(column: pa.ChunkedArray, field: pa.Field, file: Path) -> pd.Series:
    """One column in pandas, under its name.

    Raises:
        DataError: it holds lists, structures or bytes.
    """
    plain = _plain(field, file)
    if plain != field.type:
        column = column.cast(plain, safe=False)
    return column.to_pandas(date_as_object=False).rename(field.name)


def from_columns(columns: Sequence[pd.Series]) -> pd.DataFrame:
    """The table of some columns, whose memory it takes over; names may stand there twice."""
    frame = pd.DataFrame(dict(enumerate(columns)), copy=False)
    frame.columns = [str(column.name) for column in columns]
    # Arrow keeps what it has freed, for tables to come: of a large one that is much.
    pa.default_memory_pool().release_unused()
    return frame


# What tells, in an Arrow field's metadata, that times are dates without a time of day.
DATES = {b"dlcli": b"dates"}


def dated(table: pa.Table) -> pa.Table:
    """The whole of a table, whose times are marked as dates where none has a time of day."""
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
        return pa.timestamp("us")  # a time zone is forgotten: all of a column's rows have the same
    if is_odd(field):
        raise odd_column(field.name, str(kind), file)
    return kind


def is_odd(field: pa.Field) -> bool:
    """Whether a column holds lists, structures, bytes or spans of time: what no table's column holds."""
    kind, types = field.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return (
        types.is_duration(kind)
        or types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def odd_column(name: str, kind: str, file: Path) -> DataError:
    """The error for such a column where it is needed."""
    return DataError(
        f"holds {kind}: a table's columns are numbers, booleans, dates or words",
        f"{file}, column {name}",
        f"Leave it out: dataset.drop=[{name}].",
    )

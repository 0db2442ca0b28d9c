"""Arrow's many types as the few that a table's columns have: numbers, booleans, dates and words."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from dlcli.errors import DataError


def to_frame(table: pa.Table, file: Path) -> pd.DataFrame:
    """The table in pandas; each column's memory is handed over as it is converted, so that the rows are there once.

    Raises:
        DataError: a column holds lists, structures or bytes.
    """
    for number, field in enumerate(table.schema):
        plain = _plain(field, file)
        if plain != field.type:
            table = table.set_column(number, field.name, table.column(number).cast(plain, safe=False))
    frame = table.to_pandas(date_as_object=False, split_blocks=True, self_destruct=True)
    frame.columns = frame.columns.astype(str)
    return frame.reset_index(drop=True)


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
    if (
        types.is_duration(kind)
        or types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    ):
        raise DataError(
            f"holds {kind}: a table's columns are numbers, booleans, dates or words",
            f"{file}, column {field.name}",
            f"Leave it out: dataset.drop=[{field.name}].",
        )
    return kind

"""Arrow types of tables: those that are supported, and conversion of whole tables to pandas."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dlcli.config.pasted import pasted
from dlcli.errors import DataError

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


def is_unsupported(field: pa.Field) -> bool:
    """Return whether a column contains lists, structs, bytes, durations or the types of an extension."""
    kind, types = field.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return (
        types.is_duration(kind)
        or isinstance(kind, pa.BaseExtensionType)
        or b"ARROW:extension:name" in (field.metadata or {})  # of a library that is not loaded
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
        or types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def check_supported(schema: pa.Schema, file: Path) -> None:
    """Raise an error if a column contains lists, structs, bytes or durations.

    Raises:
        DataError: a column does.
    """
    for field in schema:
        if is_unsupported(field):
            raise unsupported_column(field.name, str(field.type), file)


def unsupported_column(name: str, kind: str, file: Path, key: str = "dataset") -> DataError:
    """Return the error for an unsupported column that is needed; `key` is the setting that names it."""
    convert = f"Name another column in {key}, or convert it, such as to text."
    return DataError(
        f"contains {kind}, but the columns of a table must be numbers, booleans, dates or strings",
        f"{file}, column {name}",
        f"Leave it out: {pasted('dataset.drop', [name])}." if key == "dataset" else convert,
    )

"""Read tables in memory by the columns of a model, in the same way as files."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from dlcli.datasets.reading.columns import Columns
from dlcli.errors import DataError, first_line


def read_frame(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Return the table with the columns that the model knows converted by it; others are unchanged.

    Raises:
        DataError: a value does not fit its column.
    """
    arrays = {}
    for number, (name, (_, values)) in enumerate(
        zip(names_in_model(frame, columns), frame.items(), strict=True)
    ):
        if name in columns:
            values = columns[name].read(pa.chunked_array([_array(values, name)]), _place)
        arrays[number] = values.array
    found = pd.DataFrame(arrays, index=frame.index)
    found.columns = frame.columns
    return found


def names_in_model(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """Return the names that a table's columns have in the model; columns of an array are in the order of the
    features."""
    features = [column.name for column in columns if column.role == "feature"]
    labels = frame.columns
    if isinstance(labels, pd.RangeIndex) and labels.equals(pd.RangeIndex(len(features))):
        return features
    numbered = len(labels) > 0 and pd.api.types.is_integer_dtype(labels.dtype)
    known = [column.name for column in columns]
    if numbered and not {str(number) for number in labels} & set(known):
        return [f"c{number}" for number in labels]
    return [str(label) for label in labels]


def _array(values: pd.Series, name: str) -> pa.Array:
    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowException, TypeError, ValueError):  # cells of several types
        strings = values.map(str, na_action="ignore")
        try:
            return pa.Array.from_pandas(strings, type=pa.string())
        except (pa.ArrowException, UnicodeError) as error:
            raise DataError(first_line(error), f"new data, column {name}") from error


def _place(row: int, column: str) -> str:
    return f"row {row + 1}, column {column}"

"""Conversion of tables in memory, whose columns have the types of pandas."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.pasted import pasted
from dlcli.datasets.reading.cells import is_text_by
from dlcli.datasets.reading.column import Kind, Place
from dlcli.datasets.reading.date_formats import DateFormat, find_dates, same_dates
from dlcli.errors import DataError

# Larger numbers have no variance, by which they would be scaled: the sum of their squares overflows.
LARGEST = 1e150

# Category of missing values.
MISSING = "(missing)"


def named(rows: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    """Return the rows with column names as strings.

    If pandas has numbered the columns of a file without a header, and none of `columns` is a number, they are renamed
    to dlcli's names c0, c1, ...
    """
    numbered = len(rows.columns) > 0 and pd.api.types.is_integer_dtype(rows.columns.dtype)
    if numbered and not {str(number) for number in rows.columns} & set(columns):
        return rows.rename(columns=lambda number: f"c{number}")
    return rows if all(type(name) is str for name in rows.columns) else rows.rename(columns=str)


def kind_of(values: pd.Series) -> Kind:
    """Return the kind that corresponds to the column's type."""
    types = pd.api.types
    if types.is_bool_dtype(values.dtype):
        return "boolean"
    if types.is_numeric_dtype(values.dtype):
        return "numeric"
    return "date" if types.is_datetime64_any_dtype(values.dtype) else "categorical"


def is_text(values: pd.Series) -> bool:
    """Return whether a string column has mostly distinct values."""
    if kind_of(values) != "categorical":
        return False
    return is_text_by(values.nunique(), int(values.notna().sum()))


def as_numbers(values: pd.Series, place: Place, hint: str = "") -> np.ndarray:
    """Return floats `(N,)` with NaN for missing values; `hint` is that of the errors.

    Raises:
        DataError: a value is not a number, infinite or too large.
    """
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "f":
        numbers = values.to_numpy(dtype=np.float64, copy=True)  # a large table is converted in many pieces
    elif kind_of(values) in ("numeric", "boolean"):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        numbers = pd.to_numeric(_strings(values), errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.isnan(numbers) & values.notna().to_numpy()
        correct = f"Correct it, or set {pasted('dataset.types', {str(values.name): 'categorical'})}."
        _raise_if(values, wrong, "is not a number", place, hint or correct)
    # Without gaps, two reductions suffice; with gaps, they are not numbers.
    if not (len(numbers) and numbers.max() <= LARGEST and numbers.min() >= -LARGEST):
        large = np.abs(numbers) > LARGEST
        if not large.any():
            return numbers
        empty, unit = (
            "Leave the cell empty if there is no value.",
            "Correct it, or give the column a larger unit.",
        )
        _raise_if(values, np.isinf(numbers), "is infinite", place, hint or empty)
        _raise_if(values, large, "is too large: its square is infinite", place, hint or unit)
    return numbers


def as_categories(values: pd.Series) -> np.ndarray:
    """Return category names `(N,)`, which are equal for 1, 1.0 and "1"."""
    codes, names = coded_categories(values)
    return names[codes]


def coded_categories(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes `(N,)` of category names, and the names."""
    codes, found = pd.factorize(values)
    absent = codes < 0
    names = [*(_name(value) for value in found), *([MISSING] if absent.any() or not len(found) else [])]
    return np.where(absent, len(found), codes), np.array(names, dtype=object)


def as_dates(values: pd.Series, place: Place) -> pd.Series:
    """Return dates with NaT for missing values; strings are read in one format, and converted to UTC.

    Raises:
        DataError: a value is not a date, or all are dates in two formats.
    """
    if kind_of(values) == "date":
        return values
    strings = pa.array(_strings(values), pa.string(), from_pandas=True)
    found = find_dates(pc.drop_null(pc.unique(strings)))
    if len(found) > 1 and not same_dates(found, strings):
        formats = " or ".join(format.describe() for format in found)
        raise DataError(
            f"{values.dropna().iloc[0]!r} may be written as {formats}",
            place(int(values.notna().to_numpy().argmax()), str(values.name)),
            "Write dates like 2024-12-31.",
        )
    dates = pd.Series(
        (found[0] if found else DateFormat()).parse(strings).to_pandas().to_numpy("datetime64[us]"),
        index=values.index,
        name=values.name,
    )
    wrong = dates.isna().to_numpy() & values.notna().to_numpy()
    _raise_if(values, wrong, "is not a date such as 2024-12-31", place, "Write dates like 2024-12-31.")
    return dates


def _strings(values: pd.Series) -> pd.Series:
    return values.astype("str") if kind_of(values) != "categorical" else values


def _name(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _raise_if(values: pd.Series, wrong: np.ndarray, message: str, place: Place, hint: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{str(values.iloc[row])!r} {message}", place(row, str(values.name)), hint)

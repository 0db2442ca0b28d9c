"""Kinds of columns, and conversion of values to them, shared by files, tables in memory and new rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from dlcli.errors import DataError

Kind = Literal["numeric", "categorical", "boolean", "date", "text"]

# Returns the place of a row's position and a column's name, for messages.
Place = Callable[[int, str], str]

# A string column is text if the number of its distinct values exceeds both this number and this share of its rows.
_TEXTS, _TEXT_SHARE = 50, 0.5

# Share of numeric values from which the other values of a column are considered mistakes.
_MOSTLY = 0.9

# pandas' format of unambiguous dates, which begin with the year.
ISO = "ISO8601"

# Key of `DataFrame.attrs` for the formats of date columns in the file, by column name.
DATE_FORMATS = "dlcli.dates"

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
    return rows.rename(columns=str)


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
    distinct = values.nunique()
    return distinct > _TEXTS and distinct > _TEXT_SHARE * values.notna().sum()


def is_mostly_numbers(values: pd.Series) -> bool:
    """Return whether a string column contains numbers, except for a few likely mistakes."""
    known = values.dropna()
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().mean() >= _MOSTLY)


def as_numbers(values: pd.Series, place: Place, hint: str = "") -> np.ndarray:
    """Return floats `(N,)` with NaN for missing values; `hint` is that of the errors.

    Raises:
        DataError: a value is not a number, or infinite.
    """
    if kind_of(values) in ("numeric", "boolean"):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        numbers = pd.to_numeric(_strings(values), errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.isnan(numbers) & values.notna().to_numpy()
        correct = f"Correct it, or set dataset.types={{{values.name}: categorical}}."
        _raise_if(values, wrong, "is not a number", place, hint or correct)
    empty = "Leave the cell empty if there is no value."
    _raise_if(values, np.isinf(numbers), "is infinite", place, hint or empty)
    return numbers


def as_categories(values: pd.Series) -> np.ndarray:
    """Return category names `(N,)`, which are equal for 1, 1.0 and "1"."""
    codes, found = pd.factorize(values)
    return np.array([*(_name(value) for value in found), MISSING], dtype=object)[codes]


def as_dates(values: pd.Series, place: Place, written: str | None = None) -> pd.Series:
    """Return dates with NaT for missing values; dates with a time zone are converted to UTC.

    `written` is the format of the dates if it is known (see `date_format_of`), so that the first row does not decide
    whether 05/06 is in May or in June. Dates that begin with the year are accepted in addition.

    Raises:
        DataError: a value is not a date, or has another format than the first.
    """
    if kind_of(values) == "date":
        return values
    strings = _strings(values)
    others = "the previous ones" if written is None else "those of the training data"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' warning that it found no format, reported as an error below
        dates = pd.to_datetime(strings, format=written, errors="coerce", utc=True)
        if written not in (None, ISO) and dates.isna().any():
            dates = dates.fillna(pd.to_datetime(strings, format=ISO, errors="coerce", utc=True))
    dates = dates.dt.tz_localize(None)
    wrong = dates.isna().to_numpy() & values.notna().to_numpy()
    _raise_if(
        values, wrong, f"is not a date in the format of {others}", place, "Write dates like 2024-12-31."
    )
    return dates


def date_format_of(values: pd.Series) -> str | None:
    """Return the format of a column's dates for `as_dates`; None if pandas finds none."""
    known = values.dropna()
    if kind_of(values) == "date" or known.empty:
        return ISO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' warning that the day comes first
        found = guess_datetime_format(str(known.iloc[0]))
    return ISO if found and found.startswith("%Y") else found


def as_kind(values: pd.Series, kind: Kind, place: Place, written: str | None = None) -> pd.Series:
    """Convert a column to the type of a kind, keeping missing values; `written` is the format of dates.

    Raises:
        DataError: a value does not have this kind.
    """
    if kind in ("categorical", "text"):
        names = pd.Series(as_categories(values), index=values.index, name=values.name)
        return names.where(values.notna()).astype("str")
    if kind == "date":
        return as_dates(values, place, written)
    if kind_of(values) == "numeric" and values.notna().all():
        as_numbers(values, place)
        return values
    numbers = as_numbers(values, place)
    return pd.Series(numbers, index=values.index, name=values.name)


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

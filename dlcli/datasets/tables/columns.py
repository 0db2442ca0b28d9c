"""A column's kind, and its values as that kind: what a file, a table in memory and a new row have to agree on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any, Literal

import numpy as np
import pandas as pd

from dlcli.errors import DataError

Kind = Literal["numeric", "categorical", "boolean", "date", "text"]

# From a row's position and a column's name to where that is.
Place = Callable[[int, str], str]

# A column of words is text where it has more than so many different ones, and more than this share of its rows has.
_TEXTS, _TEXT_SHARE = 50, 0.5

# The share of a column's values from which on those that are no numbers are mistakes in a column of numbers.
_MOSTLY = 0.9

# How dates are written whose year comes first, for pandas: they can be read in one way only.
ISO = "ISO8601"

# Where a table's frame keeps how its columns of dates were written in the file, by name (`DataFrame.attrs`).
DATES_WRITTEN = "dlcli.dates"

# The category of what is missing.
MISSING = "(missing)"


def named(rows: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    """The rows, their columns' names as strings.

    Where pandas has numbered the columns of a file without a header, and none of `columns` goes by a number, they are
    called as dlcli reads them: c0, c1, ...
    """
    numbered = len(rows.columns) > 0 and pd.api.types.is_integer_dtype(rows.columns.dtype)
    if numbered and not {str(number) for number in rows.columns} & set(columns):
        return rows.rename(columns=lambda number: f"c{number}")
    return rows.rename(columns=str)


def kind_of(values: pd.Series) -> Kind:
    """What the column's type says."""
    types = pd.api.types
    if types.is_bool_dtype(values.dtype):
        return "boolean"
    if types.is_numeric_dtype(values.dtype):
        return "numeric"
    return "date" if types.is_datetime64_any_dtype(values.dtype) else "categorical"


def is_text(values: pd.Series) -> bool:
    """Whether a column holds words of which hardly any comes twice."""
    if kind_of(values) != "categorical":
        return False
    different = values.nunique()
    return different > _TEXTS and different > _TEXT_SHARE * values.notna().sum()


def is_mostly_numbers(values: pd.Series) -> bool:
    """Whether a column of words holds numbers, but for a few that are likely mistakes."""
    known = values.dropna()
    return len(known) > 0 and bool(pd.to_numeric(known, errors="coerce").notna().mean() >= _MOSTLY)


def as_numbers(values: pd.Series, place: Place, mend: str = "") -> np.ndarray:
    """Floats `(N,)`, NaN where a value is missing. `mend` says what to do with a value that is refused.

    Raises:
        DataError: a value is no number, or infinite.
    """
    if kind_of(values) in ("numeric", "boolean"):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        numbers = pd.to_numeric(_words(values), errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.isnan(numbers) & values.notna().to_numpy()
        other = f"Mend it, or dataset.types={{{values.name}: categorical}}."
        _refuse(values, wrong, "is no number", place, mend or other)
    empty = "Leave the cell empty where there is no value."
    _refuse(values, np.isinf(numbers), "is infinite", place, mend or empty)
    return numbers


def as_categories(values: pd.Series) -> np.ndarray:
    """Names `(N,)`: equal for 1, 1.0 and "1", whatever the file's type."""
    codes, found = pd.factorize(values)
    return np.array([*(_name(value) for value in found), MISSING], dtype=object)[codes]


def as_dates(values: pd.Series, place: Place, written: str | None = None) -> pd.Series:
    """Points in time, NaT where a value is missing; those with a zone in UTC, for a column may hold several.

    `written` is how dates are written where that is known (`how_written`), lest the first of these rows decide whether
    05/06 is in May or in June. A date whose year comes first is read beside it.

    Raises:
        DataError: a value is no date, or not written like the first.
    """
    if kind_of(values) == "date":
        return values
    words, like = _words(values), "those before it" if written is None else "those that were learnt from"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' remark that it found no format is said better below
        dates = pd.to_datetime(words, format=written, errors="coerce", utc=True)
        if written not in (None, ISO) and dates.isna().any():
            dates = dates.fillna(pd.to_datetime(words, format=ISO, errors="coerce", utc=True))
    dates = dates.dt.tz_localize(None)
    wrong = dates.isna().to_numpy() & values.notna().to_numpy()
    _refuse(values, wrong, f"is no date like {like}", place, "Write dates like 2024-12-31.")
    return dates


def how_written(values: pd.Series) -> str | None:
    """The format of a column's dates, as `as_dates` takes it; None where pandas finds none."""
    from pandas.tseries.api import guess_datetime_format

    known = values.dropna()
    if kind_of(values) == "date" or known.empty:
        return ISO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' remark that the day comes first
        found = guess_datetime_format(str(known.iloc[0]))
    return ISO if found and found.startswith("%Y") else found


def as_kind(values: pd.Series, kind: Kind, place: Place, written: str | None = None) -> pd.Series:
    """The column in the type of a kind, missing values as such; `written` is how its dates are.

    Raises:
        DataError: a value is not of that kind.
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


def _words(values: pd.Series) -> pd.Series:
    return values.astype("str") if kind_of(values) != "categorical" else values


def _name(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _refuse(values: pd.Series, wrong: np.ndarray, what: str, place: Place, hint: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{str(values.iloc[row])!r} {what}", place(row, str(values.name)), hint)

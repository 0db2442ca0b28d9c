"""Summary statistics of a table's columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.datasets.reading.column import Kind
from dlcli.datasets.tables.source import column_kinds

# Number of categories that are listed, the most frequent first.
_NAMED = 3

# Number of values from which on distinct values are not counted by pandas.
_MANY = 100_000

# The highest bits of a product with it depend on all bits of the other factor (Knuth's multiplicative hashing).
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

# Maximum number of slots as a power of 2, which take 128 MiB; further values are sorted.
_SLOTS = 24

# Number of values that are placed at a time.
_BLOCK = 1 << 16

# The time of day of a date without one, as pandas prints it.
_MIDNIGHT = " 00:00:00"


@dataclass(frozen=True)
class ColumnProfile:
    """Summary of one column.

    Attributes:
        name: name of the column.
        kind: numeric, categorical, boolean, date, or text, which preprocessing leaves out.
        missing: number of rows without a value.
        distinct: number of distinct values.
        low: the lowest number or earliest date, as text; empty for other kinds.
        high: the highest number or latest date, as text; empty for other kinds.
        mean: mean of a numeric or boolean column.
        common: the most frequent categories, each with its number of rows.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    low: str = ""
    high: str = ""
    mean: float | None = None
    common: tuple[tuple[str, int], ...] = ()

    def describe(self) -> str:
        """Return one line such as `numeric, 1 to 9, mean 4.2, 3 missing`."""
        parts = [self.kind]
        if self.low:
            parts.append(f"{self.low} to {self.high}")
        if self.mean is not None:
            parts.append(f"mean {self.mean:.4g}")
        if self.common:
            names = ", ".join(f"{name} {rows:,}" for name, rows in self.common)
            parts.append(f"{self.distinct:,} distinct ({names}{', ...' if self.distinct > _NAMED else ''})")
        if self.missing:
            parts.append(f"{self.missing:,} missing")
        return ", ".join(parts)


def describe_columns(frame: pd.DataFrame) -> tuple[ColumnProfile, ...]:
    """Return the profile of every column, in the table's order."""
    return tuple(
        _describe(name, kind, frame[name]) for name, kind in column_kinds(frame.rename(columns=str)).items()
    )


def _describe(name: str, kind: Kind, values: pd.Series) -> ColumnProfile:
    missing = int(values.isna().sum())
    if kind in ("categorical", "text"):
        counts = values.value_counts()
        common = counts.head(_NAMED if kind == "categorical" else 0)
        named = tuple((str(value), int(rows)) for value, rows in common.items())
        return ColumnProfile(name, kind, missing, len(counts), common=named)
    known = values.dropna() if missing else values
    distinct = _count_distinct(known)
    if known.empty:
        return ColumnProfile(name, kind, missing, distinct)
    if kind == "date":
        first, last = str(known.min()), str(known.max())
        if first.endswith(_MIDNIGHT) and last.endswith(_MIDNIGHT):
            first, last = first.removesuffix(_MIDNIGHT), last.removesuffix(_MIDNIGHT)
        return ColumnProfile(name, kind, missing, distinct, first, last)
    numbers = known.to_numpy(dtype=np.float64)
    return ColumnProfile(
        name, kind, missing, distinct, f"{numbers.min():.6g}", f"{numbers.max():.6g}", float(numbers.mean())
    )


def _count_distinct(known: pd.Series) -> int:
    """Return the number of distinct values; hashing those of large arrays one by one takes much longer."""
    values = known.to_numpy()
    if values.dtype.kind not in "iufM" or len(values) < _MANY:
        return int(known.nunique())
    if values.dtype.itemsize != 8:
        return _count_sorted(values)
    # Each value has a slot, which holds one of its values. Values that do not find themselves there are sorted.
    size = min(len(values).bit_length() + 1, _SLOTS)
    held = np.zeros(1 << size, np.uint64)
    for words, slots in _slots(values, size):
        held[slots] = words
    others, zero = [], False
    for words, slots in _slots(values, size):
        others.append(words[held[slots] != words])
        zero = zero or not words.all()
    zero = zero and not held[0]  # an empty slot is 0 as well
    return int(np.count_nonzero(held)) + int(zero) + _count_sorted(np.concatenate(others))


def _slots(values: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of the values as 64-bit words, with their slots of `size` bits; whole arrays exceed the caches."""
    for first in range(0, len(values), _BLOCK):
        block = values[first : first + _BLOCK]
        words = (block + 0.0 if block.dtype.kind == "f" else block).view(np.uint64)  # -0 is 0
        yield words, (words * _FACTOR >> np.uint64(64 - size)).view(np.int64)


def _count_sorted(values: np.ndarray) -> int:
    values = np.sort(values)
    return int(len(values) > 0) + int(np.count_nonzero(values[1:] != values[:-1]))

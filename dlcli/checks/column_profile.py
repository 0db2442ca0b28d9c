"""Summary statistics of a table's columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.checks.distinct_values import count_distinct
from dlcli.datasets.reading.column import Kind
from dlcli.datasets.tables.source import column_kinds

# Number of categories that are listed, the most frequent first.
_NAMED = 3

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
    distinct = count_distinct(known)
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

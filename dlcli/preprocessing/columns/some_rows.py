"""Some rows of a table; columns are copied one at a time when a preprocessing is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.reading.column import Kind, Place
from dlcli.datasets.reading.columns import KINDS, TEXTS
from dlcli.datasets.tables.source import column_kinds
from dlcli.datasets.tables.typed_frames import as_dates, as_numbers
from dlcli.preprocessing.columns.dates import DateParts
from dlcli.preprocessing.columns.texts import TextDirections


class SomeRows:
    """Some rows of a table.

    Attributes:
        kinds: the kind of each column.
        texts: whether a column of texts is used, for columns that were read from a file.

    Args:
        x: the table.
        rows: numbers of the rows; None for all.
    """

    def __init__(self, x: pd.DataFrame, rows: np.ndarray | None = None) -> None:
        self.kinds: Mapping[str, Kind] = column_kinds(x)
        self.texts: Mapping[str, bool] = x.attrs.get(TEXTS, {})
        self._x = x
        self._rows = rows
        self._places = {name: number for number, name in enumerate(self.kinds)}

    def __len__(self) -> int:
        return len(self._x) if self._rows is None else len(self._rows)

    def __getitem__(self, name: str) -> pd.Series:
        """Return the rows of one column."""
        values = self._x.iloc[:, self._places[name]].rename(name)
        return values if self._rows is None else values.iloc[self._rows]

    def is_empty(self, name: str) -> bool:
        """Return whether no row has a value in this column."""
        known = self._x.iloc[:, self._places[name]].notna().to_numpy()
        return not known.all() and not (known if self._rows is None else known[self._rows]).any()


class NumericColumns(Sequence[np.ndarray]):
    """The numbers `(N,)` of a table: numeric columns, parts of dates and directions of texts, created on access.

    Args:
        x: the rows.
        names: the numeric columns.
        dates: the columns of dates.
        texts: the columns of texts.
    """

    def __init__(
        self,
        x: SomeRows,
        names: Sequence[str],
        dates: Mapping[str, DateParts],
        texts: Mapping[str, TextDirections],
    ) -> None:
        self._x = x
        self._names: list[tuple[str, str | int]] = [(name, "") for name in names]
        self._names += [(name, part) for name, parts in dates.items() for part in parts.parts_]
        self._names += [(name, number) for name, own in texts.items() for number in range(len(own.vectors_))]
        self._parts = dates
        self._dates = lru_cache(maxsize=1)(lambda name: as_dates(x[name], placed_from(0)))
        self._texts = lru_cache(maxsize=1)(lambda name: texts[name].transform(x[name]))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: Any) -> Any:
        name, part = self._names[number]
        if isinstance(part, int):
            return self._texts(name)[part]
        if part:
            return self._parts[name].part(part, self._dates(name))
        return as_numbers(self._x[name], placed_from(0))

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))


def kinds_are_read(x: pd.DataFrame) -> bool:
    """Return whether the kinds of all columns are known from reading, and therefore independent of the values."""
    return set(map(str, x.columns)) <= x.attrs.get(KINDS, {}).keys()


def placed_from(first: int) -> Place:
    """Return a function that describes the place of a value; rows in memory are counted from 1."""
    return lambda row, column: f"row {first + row + 1}, column {column}"

"""Notices about the columns of a table: columns left out or converted, and categories unknown in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.columns import Columns

# Minimum number of columns for a notice on rows with a value in only one of them: of two, one is often missing.
_SEVERAL = 3


class NewRowCounts:
    """Counts in new rows, piece by piece: categories that training did not see, and rows that are empty.

    Args:
        columns: the columns of the model.
        finds_empty: whether rows are found that are empty; steps of a series may lack the values to forecast.
    """

    def __init__(self, columns: Columns, finds_empty: bool = True) -> None:
        self._columns = columns
        self._features = [column.name for column in columns.features()] if finds_empty else []
        self._unseen: Counter[str] = Counter()
        self._rows = self._empty = self._single = 0

    def add(self, frame: pd.DataFrame) -> None:
        """Add rows that have been read by the columns."""
        self._rows += len(frame)
        self._unseen.update(self._columns.unseen(frame))
        if not self._features:
            return
        missing = np.zeros(len(frame), np.int64)
        for name in self._features:
            missing += frame[name].isna().to_numpy() if name in frame else 1
        self._empty += int((missing == len(self._features)).sum())
        if len(self._features) >= _SEVERAL:
            self._single += int((missing == len(self._features) - 1).sum())

    def notices(self, where: str = "") -> list[Notice]:
        """Return the notices on these rows; `where` is their file."""
        found = unseen_notices(self._unseen, self._rows, where)
        parts = [
            f"{count:,} of {self._rows:,} rows {'is' if count == 1 else 'are'} empty{but}"
            for count, but in ((self._empty, ""), (self._single, " but for one column"))
            if count
        ]
        if parts:
            text = f"{', '.join(parts)}: what the model says of them rests on missing values"
            found.append(Notice("empty_rows", self._empty + self._single, text, where))
        return found


def column_notices(columns: Columns) -> list[Notice]:
    """Return notices of the columns that were left out or converted, with their numbers."""
    lines = columns.panel()
    counts = {"left out": len(columns.left_out()), "read": sum(bool(column.note) for column in columns)}
    keys = {"left out": "left_out_columns", "read": "converted_columns"}
    return [Notice(keys[what], counts[what], f"{what}: {line}", warns=False) for what, line in lines.items()]


def unseen_notices(unseen: Mapping[str, int], rows: int, where: str = "") -> list[Notice]:
    """Return a notice on categories that do not occur in training, if there are any.

    Args:
        unseen: number of rows with such a category, by column.
        rows: number of all rows.
        where: the file of the rows.
    """
    if not unseen:
        return []
    text = "; ".join(
        f"{count:,} of {rows:,} rows have a category of {name} that does not occur in training"
        for name, count in unseen.items()
    )
    return [Notice("unseen_categories", sum(unseen.values()), text, where)]

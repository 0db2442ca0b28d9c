"""Notices about the columns of a table: columns left out or converted, and categories unknown in training."""

from __future__ import annotations

from collections.abc import Mapping

from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.columns import Columns


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

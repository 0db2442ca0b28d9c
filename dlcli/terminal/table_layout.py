"""Fit a wide table on the screen: wrap its headings, then split it into several tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

# Minimum width of a wrapped heading, so that words are not broken.
_HEADING = 12
# Blanks around the first column, and around and between the other columns.
_AROUND_FIRST, _AROUND = 2, 3

Columns = Mapping[str, Mapping[str, str]]


def fitting(columns: Columns, width: int) -> Iterator[Columns]:
    """Split the columns (heading to cells by row) into tables that fit `width`; no cell is wrapped."""
    room = width - _AROUND_FIRST - max((len(row) for cells in columns.values() for row in cells), default=0)
    if sum(map(_width, columns, columns.values())) <= room:
        yield columns
        return
    table: dict[str, Mapping[str, str]] = {}
    used = 0
    for heading, cells in columns.items():
        heading = _broken(heading, max(_HEADING, *map(len, cells.values())))
        size = _width(heading, cells)
        if table and used + size > room:
            yield table
            table, used = {}, 0
        table[heading] = cells
        used += size
    yield table


def with_one_loss(columns: Columns) -> Columns:
    """Return the table without the row `log_loss` if the row of the task's loss has the same cells."""
    if not any("log_loss" in cells for cells in columns.values()):
        return columns
    if any(cells.get("loss") != cells.get("log_loss") for cells in columns.values()):
        return columns
    return {
        heading: {
            "loss (log_loss)" if row == "loss" else row: cell
            for row, cell in cells.items()
            if row != "log_loss"
        }
        for heading, cells in columns.items()
    }


def _width(heading: str, cells: Mapping[str, str]) -> int:
    return _AROUND + max(map(len, [*heading.splitlines(), *cells.values()]))


def _broken(heading: str, limit: int) -> str:
    return "\n".join(textwrap.wrap(heading, limit))

"""How a text file of a table is written: what separates its columns, its decimal sign, whether it names its columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlcli.datasets.tables.bounds import LONGEST_LINE

SEPARATORS = (",", ";", "\t", "|")

# Of a cell, for which Python's own is 128 KiB.
csv.field_size_limit(LONGEST_LINE)

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*")
_COMMA = re.compile(r"[+-]?\d*,\d+")
_IN_QUOTES = re.compile(r'"(?:[^"]|"")*"')
_POINT = re.compile(r"[+-]?\d*\.\d+")


@dataclass(frozen=True)
class Dialect:
    """What `sniff` finds; each part can be given instead.

    Attributes:
        separator: between columns.
        decimal: the decimal sign, a point or a comma.
        header: whether the first line names the columns.
        quotes: whether a cell may stand in quotes, which are no part of it then.
    """

    separator: str
    decimal: str
    header: bool
    quotes: bool = True

    def first_row(self, lines: Sequence[str]) -> list[str]:
        """The cells of the first row, blanks around them included."""
        rows = _rows(lines[:1], self.separator) if self.quotes else [lines[0].split(self.separator)]
        return rows[0] if rows else []


def sniff(
    lines: Sequence[str], separator: str | None = None, decimal: str | None = None, header: bool | None = None
) -> Dialect:
    """The dialect of the first lines of a file; what is given is left as it is.

    The separator is the one that gives most of the lines equally many columns, the more the better. The first line
    names the columns where none of its cells is a number or a date, or stands again below in its own column. A comma is
    the decimal sign where numbers are written with it, it separates nothing, and no number has a point.
    """
    separator = separator or max(SEPARATORS, key=lambda sign: _fit(lines, sign))
    rows = _rows(lines, separator)
    cells = [cell.strip() for row in rows for cell in row]
    if decimal is None:
        commas = separator != "," and any(map(_COMMA.fullmatch, cells))
        decimal = "," if commas and not any(map(_POINT.fullmatch, cells)) else "."
    if header is None:
        first = [cell.strip() for cell in rows[0]] if rows else []
        values = any(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell) for cell in first)
        header = any(first) and not values and not _stands_again(first, rows[1:])
    return Dialect(separator, decimal, header)


def _fit(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """The share of lines with the commonest number of columns, and that number; nothing for a single column."""
    widths = Counter(len(row) for row in _rows(lines, separator))
    if not widths:
        return 0.0, 0
    width, count = widths.most_common(1)[0]
    return (count / widths.total(), width) if width > 1 else (0.0, 0)


def _stands_again(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a cell of the first row stands in a later one too, in the same column."""
    return any(
        cell and cell == later.strip() for row in rows for cell, later in zip(first, row, strict=False)
    )


def quotes_are_letters(lines: Iterable[str], separator: str) -> bool:
    """Whether quotes stand for themselves: a cell begins with one and is no cell in quotes.

    Where lines have unequally many separators, some may be parts of cells: quotes are no letters then.
    """
    widths: set[int] = set()
    stray = False
    for line in lines:
        line = line.rstrip("\r\n")
        if line:
            widths.add(line.count(separator))
            stray = stray or ('"' in line and any(map(_is_stray, line.split(separator))))
        if len(widths) > 1:
            return False
    return stray


def _is_stray(cell: str) -> bool:
    return cell.startswith('"') and not _IN_QUOTES.fullmatch(cell)


def _rows(lines: Sequence[str], separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:  # a null byte, or a cell in quotes that never end
        return []

"""Detection of the dialect of a delimited text file: separator, header, quotes."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from dlcli.datasets.tables.bounds import LONGEST_LINE

# Number of bytes that are searched at once.
_BLOCK = 1 << 20

SEPARATORS = (",", ";", "\t", "|")

# Raise the limit of Python's csv module for the size of a cell, 128 KiB.
csv.field_size_limit(LONGEST_LINE)

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*")
_IN_QUOTES = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class Dialect:
    """The dialect of a delimited text file, as detected by `sniff` or given.

    Attributes:
        separator: column separator.
        header: whether the first line contains the column names.
        quotes: whether cells may be enclosed in quotes, which are then not part of the value.
    """

    separator: str
    header: bool
    quotes: bool = True

    def first_row(self, lines: Sequence[str]) -> list[str]:
        """Return the cells of the first row, including surrounding blanks."""
        spans = self.quotes and lines[0].count('"') % 2 == 1  # a quoted cell may span several lines
        own = [line.rstrip("\r\n") + "\n" for line in lines] if spans else lines[:1]
        rows = split_rows(own, self.separator) if self.quotes else [lines[0].split(self.separator)]
        return rows[0] if rows else []


def sniff(
    lines: Sequence[str],
    separator: str | None = None,
    header: bool | None = None,
    names: Collection[str] = (),
) -> Dialect:
    """Detect the dialect from the first lines of a file; given values are kept.

    The separator is the one for which the largest share of the lines has the same number of columns, and of these the
    one with the most columns. The first line is a header if it has one of the `names` that settings use; otherwise, if
    none of its cells is a number or a date, or occurs again in its column while no other column has numbers below it.
    """
    separator = separator or widest_separator(lines)
    rows = split_rows(lines, separator)
    if header is None:
        first = [cell.strip() for cell in rows[0]] if rows else []
        values = any(NUMBER.fullmatch(cell) or _DATE.fullmatch(cell) for cell in first)
        named = bool(set(names) & set(first))
        header = named or (
            any(first)
            and not values
            and (not _is_repeated(first, rows[1:]) or _is_above_numbers(first, rows[1:]))
        )
    return Dialect(separator, header)


def widest_separator(lines: Sequence[str]) -> str:
    """Return the separator with the most even number of columns."""
    return max(SEPARATORS, key=lambda sign: _fit(lines, sign))


def _fit(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """Return the share of lines with the most frequent number of columns, and that number; 0 for a single column."""
    widths = Counter(len(row) for row in split_rows(lines, separator))
    if not widths:
        return 0.0, 0
    width, count = widths.most_common(1)[0]
    return (count / widths.total(), width) if width > 1 else (0.0, 0)


def _is_repeated(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a cell of the first row occurs in the same column of a later row."""
    return any(
        cell and cell == later.strip() for row in rows for cell, later in zip(first, row, strict=False)
    )


def _is_above_numbers(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a column has several values, all of them numbers or dates, below a word."""
    return any(
        any(map(str.isalpha, cell))
        and len(below := [row[place].strip() for row in rows if len(row) > place]) > 2
        and all(NUMBER.fullmatch(value) or _DATE.fullmatch(value) for value in below)
        for place, cell in enumerate(first)
    )


def quotes_are_literal(lines: Iterable[str], separator: str) -> bool:
    """Return whether quotes are ordinary characters: a cell begins with one, but is not a quoted cell.

    If lines have different numbers of separators, some separators may be inside quoted cells, so the result is false.
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


def has_stray_quote(stream: IO[bytes], separator: str) -> bool:
    """Return whether a cell on one line begins with a quote, but is not a quoted cell.

    It takes a third of the time of `quotes_are_literal`, which is only needed if there is one.

    The stream's encoding must have ASCII's quote, separator and line ends.
    """
    sign = re.escape(separator.encode())
    stray = re.compile(
        rb'(?:^|%s)"(?:[^"\r\n%s]+|"")*+(?!"(?:%s|[\r\n]|\Z))' % (sign, sign, sign), re.MULTILINE
    )
    rest = b""
    while block := stream.read(_BLOCK):
        lines, end, rest = (rest + block).replace(b"\r", b"\n").rpartition(b"\n")
        if b'"' in lines and stray.search(lines + end):
            return True
    return b'"' in rest and stray.search(rest) is not None


def _is_stray(cell: str) -> bool:
    return cell.startswith('"') and not _IN_QUOTES.fullmatch(cell)


def split_rows(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the cells of lines that are not empty."""
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:  # a null byte, or a quoted cell that does not end
        return []

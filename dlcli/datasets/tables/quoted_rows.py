"""Rows of a delimited text file as lines: a quoted cell may span several lines, and empty lines are no rows."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.tables.compression import Excerpt, opened
from dlcli.datasets.tables.dialect import Dialect
from dlcli.datasets.tables.lines import text_lines

# Number of bytes that are read at once.
_BLOCK = 1 << 20


def empty_lines(
    file: Path | Excerpt, dialect: Dialect, encoding: str, comments: Sequence[int] = ()
) -> list[int]:
    """Return for each empty line between the rows the number of rows before it, with the header.

    Args:
        file: the file.
        dialect: its dialect.
        encoding: its encoding.
        comments: for each comment the number of rows before it; comments are no rows.
    """
    found: list[int] = []
    place = file.file if isinstance(file, Excerpt) else file
    with opened(file) as stream:
        count = 0
        for record in records(text_lines(stream, place, encoding), dialect):
            if is_empty_line(record):
                found.append(count)
            else:
                count += 1
    at = [rows + before for before, rows in enumerate(comments)]  # their places among rows and comments
    return [rows - bisect_left(at, rows) for rows in found if 0 < rows < count]


def all_lines_are_rows(file: Path | Excerpt, table: pa.Table, others: int) -> bool:
    """Return whether rows with the line breaks in their cells, and others, make up all lines before the file's end.

    Then no line between the rows is empty. This is much faster than `empty_lines`. Files with a line end \\r alone, or
    of an encoding of two bytes, are not recognized.

    Args:
        file: the file.
        table: its rows; strings, or numbers that are parsed.
        others: number of lines that are no rows: those of the header, and comments.
    """
    ends = before = single = 0
    last = b""
    with opened(file) as stream:
        while block := stream.read(_BLOCK):
            if content := block.rstrip(b"\r\n"):
                ends = before + content.count(b"\n")
            before += block.count(b"\n")
            torn = last == b"\r" and block.startswith(b"\n")
            single += block.count(b"\r") - block.count(b"\r\n") - torn
            last = block[-1:]
    if single:
        return False
    strings = [column for column in table.columns if not pa.types.is_floating(column.type)]
    breaks = sum(_line_breaks(chunk) for column in strings for chunk in column.chunks)
    return ends + 1 == len(table) + breaks + others


def _line_breaks(cells: pa.Array) -> int:
    """Return the number of line breaks in strings, or in strings with codes."""
    if isinstance(cells, pa.DictionaryArray):
        counts = pc.count_substring(cells.dictionary, "\n").take(cells.indices)
    else:
        counts = pc.count_substring(cells, "\n")
    return int(pc.sum(counts).as_py() or 0)


@dataclass(frozen=True)
class Batch:
    """Rows of a file.

    Attributes:
        text: their lines.
        lines: number of lines.
        rows: number of rows.
        between: number of empty lines before the last row.
        at_end: number of empty lines after it.
    """

    text: str = ""
    lines: int = 0
    rows: int = 0
    between: int = 0
    at_end: int = 0


def batches(lines: Iterator[str], dialect: Dialect, rows: int | None) -> Iterator[Batch]:
    """Yield the lines of a file in batches of `rows` rows or empty lines; None yields one batch."""
    while several := list(islice(lines, rows)):
        text, empty = "".join(several), []
        if dialect.quotes and '"' in text:
            found = list(islice(records(chain(several, lines), dialect), rows))
            several = list(chain.from_iterable(found))
            text, empty = "".join(several), [is_empty_line(record) for record in found]
        elif min(map(len, several)) <= len("\r\n"):
            empty = [is_empty_line([line]) for line in several]
        at_end = sum(1 for _ in takewhile(bool, reversed(empty)))
        all_empty = sum(empty)
        count = (len(empty) or len(several)) - all_empty
        yield Batch(text, len(several), count, all_empty - at_end, at_end)


def is_empty_line(record: Sequence[str]) -> bool:
    """Return whether the lines of a row are one empty line, which is no row."""
    return not record[0].rstrip("\r\n")


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Yield the lines of each row; a quoted cell may span several lines.

    As in Arrow, a quote opens a quoted cell only at the cell's beginning, and two quotes within it denote one.
    """
    in_quotes = re.compile(rf'(?:^|{re.escape(dialect.separator)})"(?:[^"]+|"")*("?)')
    record: list[str] = []
    inside = False
    for line in lines:
        record.append(line)
        if dialect.quotes and '"' in line:
            ends = [cell[1] for cell in in_quotes.finditer('"' + line if inside else line)]
            inside = ends[-1:] == [""]
        if not inside:
            yield record
            record = []
    if record:
        yield record

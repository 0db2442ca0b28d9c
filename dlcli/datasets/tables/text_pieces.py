"""Reading delimited text files in pieces of lines; each piece is read like a file with the same header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from dlcli.datasets.tables.compression import Excerpt
from dlcli.datasets.tables.delimited import find_dialect, read_delimited, read_strings
from dlcli.datasets.tables.dialect import Dialect
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.lines import text_lines
from dlcli.datasets.tables.selection import ColumnSelection, Piece, columns_to_keep, empty_file, no_columns
from dlcli.datasets.tables.source import checked
from dlcli.errors import DataError
from dlcli.formatting import counted


def text_pieces(
    file_opened: AbstractContextManager[IO[bytes]],
    file: Path,
    selection: ColumnSelection,
    format_options: FormatOptions,
    rows: int | None,
) -> Iterator[Piece]:
    """Read an opened file in pieces of `rows` lines; None reads one piece.

    Raises:
        DataError: the file is empty or lacks a column, or a row is invalid; with the line.
    """
    with file_opened as stream:
        text = text_lines(stream, file, format_options.encoding)
        lines = (line.encode("utf-8", "surrogateescape") for line in text)
        skipped, line = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, b""))
        if not line:
            raise empty_file(file)
        head = [line, *islice(lines, rows)]
        options = format_options.options() | {"encoding": "utf-8"}
        excerpt = Excerpt(file, b"".join(head))
        if options["header"] is None:
            options["header"] = _has_header(excerpt, selection, options)
        dialect, names = find_dialect(excerpt, **options)
        keep = columns_to_keep(names, {}, file, selection)
        found = {name: getattr(dialect, name) for name in ("separator", "decimal", "header", "quotes")}
        records = _records(chain(head, lines), dialect)
        before = next(records) if dialect.header else []
        skipped += len(before)
        any_rows = False
        while (batch := list(islice(records, rows))) or not any_rows:
            own = list(chain.from_iterable(batch))
            count = sum(bool(record[0].rstrip(b"\r\n")) for record in batch)
            if count or not batch:  # for a header without rows, `checked` raises the error
                any_rows = True
                excerpt = Excerpt(file, b"".join([*before, *own]), skipped - len(before))
                source = checked(
                    read_delimited(excerpt, **found, types=selection.kinds, missing=selection.missing)
                )
                if len(source.frame) != count:
                    raise DataError(
                        f"{counted(count, 'row')} from this line on are read as {len(source.frame)}",
                        f"{file}:{skipped + 1}",
                        "If quotes are ordinary characters, set dataset.quotes=false.",
                    )
                yield Piece(source, read_strings(excerpt, keep, dialect) if keep else no_columns(source), 0)
            skipped += len(own)


def _has_header(excerpt: Excerpt, selection: ColumnSelection, options: Mapping[str, Any]) -> bool | None:
    """Return whether the first line is a header, by the names of the required columns; None if that is undecided."""
    _, names = find_dialect(excerpt, **{**options, "header": True})
    needed = set(selection.kinds)
    if needed & set(names):
        return True
    # A row of strings looks like a header, but the training file had none if its columns are named c0, c1, ...
    numbered = bool(needed) and all(name[:1] == "c" and name[1:].isdecimal() for name in needed)
    return False if numbered else None


def _records(lines: Iterable[bytes], dialect: Dialect) -> Iterator[list[bytes]]:
    """Yield the lines of each row; a quoted cell may span several lines.

    As in Arrow, a quote opens a quoted cell only at the cell's beginning, and two quotes within it denote one.
    """
    separator = re.escape(dialect.separator.encode())
    in_quotes = re.compile(rb'(?:^|%s)"(?:[^"]+|"")*("?)' % separator)
    record: list[bytes] = []
    inside = False
    for line in lines:
        record.append(line)
        if dialect.quotes and b'"' in line:
            ends = [cell[1] for cell in in_quotes.finditer(b'"' + line if inside else line)]
            inside = ends[-1:] == [b""]
        if not inside:
            yield record
            record = []
    if record:
        yield record

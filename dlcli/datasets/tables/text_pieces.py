"""Reading delimited text files in pieces of lines; each piece is read like a file with the same header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO

from dlcli.datasets.tables.column_selection import (
    PIECE,
    ColumnSelection,
    Piece,
    columns_to_keep,
    empty_file,
    rows_of_piece,
)
from dlcli.datasets.tables.compression import Excerpt
from dlcli.datasets.tables.delimited import read_delimited, title_warnings
from dlcli.datasets.tables.form import find_form
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.lines import text_lines
from dlcli.datasets.tables.quoted_rows import Batch, batches, records
from dlcli.errors import DataError
from dlcli.formatting import counted

# Lines by which the form of a file is detected, even if the pieces are smaller.
_LINES = 50


def text_pieces(
    file_opened: AbstractContextManager[IO[bytes]],
    file: Path,
    selection: ColumnSelection,
    options: FormatOptions,
    rows: int | None,
) -> Iterator[Piece]:
    """Read an opened file in pieces of `rows` lines; None reads one piece.

    Raises:
        DataError: the file is empty or lacks a column, or a row is invalid; with the line.
    """
    with file_opened as stream:
        text = text_lines(stream, file, options.encoding)
        skipped, line = next(((number, line) for number, line in enumerate(text) if line.strip()), (0, ""))
        if not line:
            raise empty_file(file)
        head = [line, *islice(text, None if rows is None else max(min(rows, PIECE), _LINES))]
        rows = rows_of_piece(rows, sum(map(len, head)) / len(head))
        options = replace(options, encoding="utf-8")
        if options.header == "auto" and _had_no_header(Excerpt(file, _encoded(head)), selection, options):
            options = replace(options, header=False)
        form = find_form(Excerpt(file, _encoded(head)), options, selection.names)
        keep = columns_to_keep(list(form.names), {}, file, selection)
        lines = form.layout.lines(chain(head, text))
        skipped += form.layout.skip - form.layout.in_comment
        before = next(records(lines, form.dialect)) if form.dialect.header else []
        skipped += len(before)
        any_rows, empty = False, 0
        titles = title_warnings(file, form.layout)
        found = batches(lines, form.dialect, rows)
        while (batch := next(found, None)) or not any_rows:
            if batch is None or batch.rows:  # a header without rows is an error
                batch = batch or Batch()
                any_rows = True
                content = _encoded([*before, batch.text])
                raw = read_delimited(Excerpt(file, content, skipped - len(before)), options, form=form.plain)
                if len(raw) + raw.comments != batch.rows:
                    raise DataError(
                        f"{counted(batch.rows, 'row')} from this line on are read as {len(raw)}",
                        f"{file}:{skipped + 1}",
                        "If quotes are ordinary characters, set dataset.quotes=false.",
                    )
                # Comments and empty lines are counted by the caller.
                raw.warnings, titles, raw.empty, empty = tuple(titles), [], empty + batch.between, 0
                yield Piece(raw, raw.table.select(keep), 0)
            empty += batch.at_end  # if further rows follow
            skipped += batch.lines


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def _had_no_header(head: Excerpt, selection: ColumnSelection, options: FormatOptions) -> bool:
    """Return whether a first line of strings is a row, since the columns of the model are named c0, c1, ..."""
    needed = set(selection.names)
    names = find_form(head, replace(options, header=True)).names
    return (
        bool(needed)
        and not needed & set(names)
        and all(name[:1] == "c" and name[1:].isdecimal() for name in needed)
    )

"""Text files of tables by their lines, some at a time: each piece is read as if it were a file with the same header."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from dlcli.datasets.tables.delimited import find_dialect, read_delimited, read_words
from dlcli.datasets.tables.packed import Excerpt
from dlcli.datasets.tables.source import checked
from dlcli.datasets.tables.wanted import Piece, Wanted, carried, is_empty, nothing_kept
from dlcli.datasets.tables.written import Written
from dlcli.errors import DataError, first_line


def text_pieces(
    file_opened: AbstractContextManager[IO[bytes]],
    file: Path,
    wanted: Wanted,
    written: Written,
    rows: int | None,
) -> Iterator[Piece]:
    """The rows of an opened file, `rows` lines at a time; None: all at once.

    Raises:
        DataError: it is empty, lacks a column, or a row is damaged, with its line.
    """
    with file_opened as stream:
        lines = _lines(stream, file, written.encoding)
        skipped, line = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, b""))
        if not line:
            raise is_empty(file)
        head = [line, *islice(lines, rows)]
        options = written.options() | {"encoding": "utf-8"}
        excerpt = Excerpt(file, b"".join(head))
        if options["header"] is None:
            options["header"] = _has_header(excerpt, wanted, options)
        dialect, names = find_dialect(excerpt, **options)
        keep = carried(names, {}, file, wanted)
        found = {name: getattr(dialect, name) for name in ("separator", "decimal", "header", "quotes")}
        if not dialect.header and rows is not None:
            lines = chain(head[rows:], lines)
            head = head[:rows]
        before: list[bytes] = []
        while head:
            if dialect.quotes:  # a cell in quotes may have several lines
                odd = sum(line.count(b'"') for line in head) % 2
                while odd and (line := next(lines, b"")):
                    head.append(line)
                    odd ^= line.count(b'"') % 2
            if any(line.strip() for line in head):
                excerpt = Excerpt(file, b"".join([*before, *head]), skipped - len(before))
                source = checked(read_delimited(excerpt, **found, types=wanted.kinds, missing=wanted.missing))
                yield Piece(source, read_words(excerpt, keep, dialect) if keep else nothing_kept(source), 0)
            if dialect.header and not before:
                before = _first_record(head, dialect.quotes)
            skipped += len(head)
            head = list(islice(lines, rows))


def _lines(stream: IO[bytes], file: Path, encoding: str) -> Iterator[bytes]:
    """The lines in UTF-8; those that are said to be that are left as they are, to be looked at later."""
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        yield from stream
        return
    try:
        with io.TextIOWrapper(stream, encoding, newline="") as text:
            for line in text:
                yield line.encode()
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"cannot be read as {encoding}: {first_line(error)}",
            str(file),
            "dataset.encoding names how it was written.",
        ) from error


def _has_header(excerpt: Excerpt, wanted: Wanted, options: Mapping[str, Any]) -> bool | None:
    """True where the first line has the name of a column that is needed; None: it is to be found out."""
    _, names = find_dialect(excerpt, **{**options, "header": True})
    needed = set(wanted.kinds)
    if needed & set(names):
        return True
    # Words alone look like names; but the rows that were learnt from had none either.
    counted = bool(needed) and all(name[:1] == "c" and name[1:].isdecimal() for name in needed)
    return False if counted else None


def _first_record(lines: Sequence[bytes], quotes: bool) -> list[bytes]:
    """The lines of the first row that is not blank, which names the columns."""
    found: list[bytes] = []
    for line in lines:
        if found or line.strip():
            found.append(line)
            if not quotes or sum(part.count(b'"') for part in found) % 2 == 0:
                break
    return found

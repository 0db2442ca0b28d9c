"""A table of new rows piece by piece: it may be larger than memory, or come through a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa

from dlcli.config.suggest import choices, hint
from dlcli.datasets.tables.columns import Kind
from dlcli.datasets.tables.delimited import MISSING, find_dialect, read_delimited, read_words
from dlcli.datasets.tables.files import need_file, read_table, table_format
from dlcli.datasets.tables.json_lines import read_json_lines
from dlcli.datasets.tables.packed import Excerpt, opened
from dlcli.datasets.tables.plain import from_columns, is_odd, to_series
from dlcli.datasets.tables.source import Source, checked
from dlcli.datasets.tables.written import Written
from dlcli.errors import DataError, first_line

# Stands for what is piped in.
STDIN = Path("standard input")

# Lines of text, or rows, in a piece: a whole number of the batches that a saved model predicts.
PIECE = 16 * 512

_WANTED = "Give one row at least."

# Missing columns that are told one by one.
_FEW = 3


@dataclass(frozen=True)
class Wanted:
    """What is read of a table.

    Attributes:
        kinds: the columns that are needed, and what they hold.
        others: whether other columns are read, too.
        keep: columns that are carried along as they are written; None: all.
        missing: what stands for a missing value in text.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    others: bool = False
    keep: Sequence[str] | None = ()
    missing: Sequence[str] = MISSING


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows: as columns, and what is carried along of them; `first` is the number of their first, from 0."""

    source: Source
    kept: pa.Table
    first: int


def piped() -> io.BufferedReader:
    """What is piped in; it can be looked at before it is read."""
    stream: Any = sys.stdin.buffer
    return stream if hasattr(stream, "peek") else io.BufferedReader(stream)


def read_pieces(
    file: Path,
    wanted: Wanted,
    written: Written | None = None,
    rows: int | None = PIECE,
    stream: io.BufferedReader | None = None,
) -> Iterator[Piece]:
    """The rows of a table in any format, or of `STDIN` (text or JSON lines), `rows` at a time; None: all at once.

    `stream` is what is piped in, where somebody has looked at it.

    Raises:
        DataError: as `read_table`, or a column is missing.
    """
    if file == STDIN:
        stream = stream or piped()
        read = _json_pieces if stream.peek().lstrip()[:1] in (b"{", b"[") else _text_pieces
        pieces = read(nullcontext(stream), file, wanted, written or Written(), rows)
    else:
        need_file(file)
        how = table_format(file)
        if how == "parquet":
            pieces = _parquet_pieces(file, wanted, rows)
        elif how == "excel":
            pieces = iter([_whole(read_table(file), wanted)])
        else:
            read = _json_pieces if how == "json lines" else _text_pieces
            pieces = read(opened(file), file, wanted, written or Written(), rows)
    first = 0
    for piece in pieces:
        yield replace(piece, first=first)
        first += len(piece.source.frame)


def _text_pieces(
    file_opened: AbstractContextManager[IO[bytes]],
    file: Path,
    wanted: Wanted,
    written: Written,
    rows: int | None,
) -> Iterator[Piece]:
    with file_opened as stream:
        lines = _lines(stream, file, written.encoding)
        skipped, line = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, b""))
        if not line:
            raise DataError("is empty", str(file), _WANTED)
        head = [line, *islice(lines, rows)]
        options = written.options() | {"encoding": "utf-8"}
        excerpt = Excerpt(file, b"".join(head))
        if options["header"] is None:
            options["header"] = _has_header(excerpt, wanted, options)
        dialect, names = find_dialect(excerpt, **options)
        keep = _columns(names, {}, file, wanted)
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
                yield Piece(source, read_words(excerpt, keep, dialect) if keep else _nothing(source), 0)
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


def _json_pieces(
    file_opened: AbstractContextManager[IO[bytes]],
    file: Path,
    wanted: Wanted,
    written: Written,
    rows: int | None,
) -> Iterator[Piece]:
    seen: dict[str, None] = {}
    skipped = 0
    with file_opened as stream:
        while head := list(islice(stream, rows)):
            if any(line.strip() for line in head):
                source = read_json_lines(Excerpt(file, b"".join(head), skipped))
                names = list(source.frame.columns)
                # Which no row of this piece has, as a key may be left out.
                absent = [name for name in seen if name not in names and name not in source.odd]
                index = range(sum(bool(line.strip()) for line in head))
                frame = source.frame.reindex(index=index, columns=[*names, *absent])
                seen |= dict.fromkeys([*names, *source.odd])
                keep = _columns(list(seen), source.odd, file, wanted)
                values = [json.loads(line) for line in head if keep and line.strip()]
                kept = pa.table({name: [row.get(name) for row in values] for name in keep})
                source = checked(replace(source, frame=frame))
                yield Piece(source, kept if keep else _nothing(source), 0)
            skipped += len(head)
    if not seen:
        raise DataError("is empty", str(file), _WANTED)


def _parquet_pieces(file: Path, wanted: Wanted, rows: int | None) -> Iterator[Piece]:
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            schema = table.schema_arrow
            odd = {field.name: str(field.type) for field in schema if is_odd(field)}
            keep = _columns(schema.names, odd, file, wanted)
            needed = [n for n in (schema.names if wanted.others else wanted.kinds) if n not in odd]
            if not table.metadata.num_rows:
                raise DataError("has no rows", str(file), _WANTED)
            skipped = 0
            for batch in table.iter_batches(
                rows or table.metadata.num_rows, columns=list(dict.fromkeys([*needed, *keep]))
            ):
                part = pa.Table.from_batches([batch])
                columns = [to_series(part.column(name), part.field(name), file) for name in needed]
                source = checked(Source(from_columns(columns), file, odd=odd, skipped=skipped))
                yield Piece(source, part.select(keep) if keep else _nothing(source), 0)
                skipped += len(part)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"is no whole Parquet file: {first_line(error)}", str(file), "Copy it anew."
        ) from error


def _whole(source: Source, wanted: Wanted) -> Piece:
    keep = _columns(list(source.frame.columns), source.odd, source.file, wanted)
    kept = pa.Table.from_pandas(source.frame[keep], preserve_index=False) if keep else _nothing(source)
    return Piece(source, kept, 0)


def _nothing(source: Source) -> pa.Table:
    """A table of as many rows, without a column."""
    return pa.Table.from_pandas(pd.DataFrame(index=source.frame.index), preserve_index=False)


def _columns(names: Sequence[str], odd: Collection[str], file: Path, wanted: Wanted) -> list[str]:
    """The columns that are carried along; refuses a file that lacks one, or one that is needed.

    Raises:
        DataError: with the near names.
    """
    columns = Source(pd.DataFrame(columns=list(names)), file)
    columns.need(list(wanted.keep or ()), "--keep")  # lists are carried along, too
    columns = replace(
        columns, frame=columns.frame.drop(columns=list(odd)), odd=dict.fromkeys(odd, "lists or the like")
    )
    absent = [name for name in wanted.kinds if name not in columns.frame]
    if len(absent) > _FEW and not set(absent) & set(odd):
        raise DataError(
            f"{len(absent)} columns that the model needs are not there: {', '.join(absent[:8])}"
            f"{', ...' if absent[8:] else ''}",
            str(file),
            hint(choices(names)),
        )
    columns.need_all({str(file): absent})
    return list(names if wanted.keep is None else wanted.keep)

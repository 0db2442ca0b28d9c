"""Reading a table of new rows in pieces, because it may exceed memory or come through a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from dlcli.datasets.tables.arrow_types import dated, from_columns, is_unsupported, to_series
from dlcli.datasets.tables.bounds import bounded
from dlcli.datasets.tables.compression import Excerpt, opened
from dlcli.datasets.tables.files import parquet_errors, read_table, require_file, table_format
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.json_lines import read_json_lines
from dlcli.datasets.tables.selection import ColumnSelection, Piece, columns_to_keep, empty_file, no_columns
from dlcli.datasets.tables.source import Source, check_unique_names, checked
from dlcli.datasets.tables.text_pieces import text_pieces

# Stands for standard input.
STDIN = Path("standard input")

# Number of text lines or rows per piece, a multiple of the batch size of predictions.
PIECE = 16 * 512


def piped() -> io.BufferedReader:
    """Return standard input as a stream that supports `peek`."""
    stream: Any = sys.stdin.buffer
    return stream if hasattr(stream, "peek") else io.BufferedReader(stream)


def read_pieces(
    file: Path,
    selection: ColumnSelection,
    format_options: FormatOptions | None = None,
    rows: int | None = PIECE,
    stream: io.BufferedReader | None = None,
) -> Iterator[Piece]:
    """Read a table in any format, or `STDIN` (text or JSON lines), in pieces of `rows` rows; None reads one piece.

    `stream` is standard input if the caller has already opened it to peek.

    Raises:
        DataError: as for `read_table`, or a column is missing.
    """
    if file == STDIN:
        stream = stream or piped()
        read = _json_pieces if stream.peek().lstrip()[:1] in (b"{", b"[") else text_pieces
        pieces = read(bounded(stream, str(file)), file, selection, format_options or FormatOptions(), rows)
    else:
        require_file(file)
        kind = table_format(file)
        if kind == "parquet":
            pieces = _parquet_pieces(file, selection, rows)
        elif kind == "excel":
            pieces = iter([_whole(read_table(file), selection)])
        else:
            read = _json_pieces if kind == "json lines" else text_pieces
            pieces = read(opened(file), file, selection, format_options or FormatOptions(), rows)
    first = 0
    for piece in pieces:
        yield replace(piece, first=first)
        first += len(piece.source.frame)


def _json_pieces(
    file_opened: AbstractContextManager[IO[bytes]],
    file: Path,
    selection: ColumnSelection,
    format_options: FormatOptions,
    rows: int | None,
) -> Iterator[Piece]:
    seen: dict[str, None] = {}
    keep: list[str] = []
    skipped = 0
    with file_opened as stream:
        while head := list(islice(stream, rows)):
            if any(line.strip() for line in head):
                source = read_json_lines(Excerpt(file, b"".join(head), skipped))
                names = list(source.frame.columns)
                # Columns that no row of this piece has, since keys may be omitted.
                absent = [name for name in seen if name not in names and name not in source.unsupported]
                index = range(sum(bool(line.strip()) for line in head))
                frame = source.frame.reindex(index=index, columns=[*names, *absent])
                if not seen:  # all pieces keep the same columns
                    keep = columns_to_keep([*names, *source.unsupported], source.unsupported, file, selection)
                seen |= dict.fromkeys([*names, *source.unsupported])
                values = [json.loads(line) for line in head if keep and line.strip()]
                kept = pa.table({name: _as_given([row.get(name) for row in values]) for name in keep})
                source = checked(replace(source, frame=frame))
                yield Piece(source, kept if keep else no_columns(source), 0)
            skipped += len(head)
    if not seen:
        raise empty_file(file)


def _as_given(values: Sequence[Any]) -> pa.Array:
    """Return a column of JSON values, as strings if a number is too large for Arrow, so that no digit is lost."""
    try:
        return pa.array(values)
    except (OverflowError, pa.ArrowException):
        strings = (
            value if value is None or isinstance(value, str) else json.dumps(value) for value in values
        )
        return pa.array(list(strings), pa.string())


def _parquet_pieces(file: Path, selection: ColumnSelection, rows: int | None) -> Iterator[Piece]:
    with parquet_errors(file), parquet.ParquetFile(file) as table:
        schema = table.schema_arrow
        check_unique_names(schema.names, file)
        unsupported = {field.name: str(field.type) for field in schema if is_unsupported(field)}
        keep = columns_to_keep(schema.names, unsupported, file, selection)
        needed = [n for n in (schema.names if selection.others else selection.kinds) if n not in unsupported]
        if not table.metadata.num_rows:
            raise empty_file(file)
        skipped = 0
        for batch in table.iter_batches(
            rows or table.metadata.num_rows, columns=list(dict.fromkeys([*needed, *keep]))
        ):
            part = pa.Table.from_batches([batch])
            columns = [to_series(part.column(name), part.field(name), file) for name in needed]
            source = checked(Source(from_columns(columns), file, unsupported=unsupported, skipped=skipped))
            yield Piece(source, part.select(keep) if keep else no_columns(source), 0)
            skipped += len(part)


def _whole(source: Source, selection: ColumnSelection) -> Piece:
    keep = columns_to_keep(list(source.frame.columns), source.unsupported, source.file, selection)
    kept = pa.Table.from_pandas(source.frame[keep], preserve_index=False) if keep else no_columns(source)
    return Piece(source, dated(kept), 0)

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

from dlcli.datasets.tables.arrow_types import dated, is_unsupported
from dlcli.datasets.tables.bounds import bounded
from dlcli.datasets.tables.column_selection import (
    PIECE,
    ColumnSelection,
    Piece,
    columns_to_keep,
    empty_file,
    rows_of_piece,
)
from dlcli.datasets.tables.compression import Excerpt, opened
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.json_lines import is_list, read_json_lines
from dlcli.datasets.tables.read_table import (
    index_columns,
    parquet_errors,
    read_raw,
    require_file,
    table_format,
)
from dlcli.datasets.tables.source import RawTable, check_unique_names
from dlcli.datasets.tables.text_pieces import text_pieces

# Stands for standard input.
STDIN = Path("standard input")


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

    Pieces of more than `PIECE` rows are smaller if rows are large. `stream` is the content of `file` if that is in
    memory, or standard input if the caller has opened it to peek.

    Raises:
        DataError: as for `read_table`, or a column is missing.
    """
    if stream is not None or file == STDIN:
        stream = stream or piped()
        read = _json_pieces if stream.peek().lstrip()[:1] in (b"{", b"[") else text_pieces
        pieces = read(bounded(stream, str(file)), file, selection, format_options or FormatOptions(), rows)
    else:
        require_file(file)
        kind = table_format(file)
        if kind == "parquet":
            pieces = _parquet_pieces(file, selection, rows)
        elif kind == "excel":
            pieces = iter([_whole(read_raw(file, format_options), selection)])
        elif kind == "json lines" and is_list(file):
            pieces = iter([_whole(read_json_lines(file), selection)])
        else:
            read = _json_pieces if kind == "json lines" else text_pieces
            pieces = read(opened(file), file, selection, format_options or FormatOptions(), rows)
    first = 0
    for piece in pieces:
        rows_of_piece = len(piece.raw)  # reading the cells uses them up
        yield replace(piece, first=first)
        first += rows_of_piece


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
        while head := list(islice(stream, None if rows is None else min(rows, PIECE))):
            if (
                not seen and b"".join(head).lstrip()[:1] == b"["
            ):  # a list of objects, such as from standard input
                yield _whole(read_json_lines(Excerpt(file, b"".join([*head, *stream]))), selection)
                return
            if any(line.strip() for line in head):
                raw = read_json_lines(Excerpt(file, b"".join(head), skipped), seen)
                names, unsupported = raw.names, raw.origin.unsupported
                if not seen:  # all pieces keep the same columns
                    keep = columns_to_keep([*names, *unsupported], unsupported, file, selection)
                seen |= dict.fromkeys([*names, *unsupported])
                values = [json.loads(line) for line in head if keep and line.strip()]
                kept = pa.table({name: _as_given([row.get(name) for row in values]) for name in keep})
                yield Piece(raw, kept if keep else raw.table.select([]), 0)
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
        needed = [n for n in (schema.names if selection.others else selection.names) if n not in unsupported]
        if not table.metadata.num_rows:
            raise empty_file(file)
        groups = (table.metadata.row_group(number) for number in range(table.num_row_groups))
        rows = rows_of_piece(rows, sum(group.total_byte_size for group in groups) / table.metadata.num_rows)
        skipped = 0
        for batch in table.iter_batches(
            rows or table.metadata.num_rows, columns=list(dict.fromkeys([*needed, *keep]))
        ):
            part = pa.Table.from_batches([batch]).replace_schema_metadata(None)
            raw = RawTable(
                part.select(needed),
                RawTable.of(
                    part.select(needed or part.column_names), file, unsupported=unsupported, skipped=skipped
                ).origin,
                index=index_columns(schema),
            )
            yield Piece(raw, part.select(keep), 0)
            skipped += len(part)


def _whole(raw: RawTable, selection: ColumnSelection) -> Piece:
    file, unsupported = raw.origin.file, raw.origin.unsupported
    keep = columns_to_keep([*raw.names, *unsupported], unsupported, file, selection, raw.origin.sheets)
    return Piece(raw, dated(raw.table.select([name for name in keep if name in raw.names])), 0)

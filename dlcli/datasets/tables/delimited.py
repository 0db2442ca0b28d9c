"""Reading delimited text files such as CSV and TSV: the dialect is detected, and errors name the line."""

from __future__ import annotations

import codecs
import io
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from dlcli.datasets.tables.arrow_types import to_frame
from dlcli.datasets.tables.bounds import LONGEST_LINE
from dlcli.datasets.tables.compression import Excerpt, at_line, opened
from dlcli.datasets.tables.dialect import Dialect, quotes_are_literal, sniff
from dlcli.datasets.tables.lines import codec, is_utf8
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError, first_line
from dlcli.formatting import amount
from dlcli.process.memory import free_memory

# Strings that denote a missing value; "?" is used by the UCI repository.
MISSING = (
    "", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA",
    "-NaN", "-nan",
)  # fmt: skip

# Number of lines used to detect the dialect; fewer, but at least two, if they exceed this number of bytes.
_LINES, _LENGTH = 50, 1 << 22

# Codecs of host names, which are not encodings of text.
_OF_NAMES = ("idna", "punycode")

# Block size in bytes; larger blocks are used for a longer row.
_BLOCK = 1 << 20

# Part of Arrow's message about a row that is longer than a block.
_ROW_TOO_LONG = "straddles two block boundaries"


def read_delimited(
    file: Path | Excerpt,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    types: Mapping[str, str] | None = None,
    quotes: bool | None = None,
    missing: Sequence[str] = MISSING,
) -> Source:
    """Read a table of text; columns that are categorical or text in `types` stay strings, such as `007`.

    `quotes` is whether cells may be enclosed in quotes; None detects it for tab-separated files and assumes it for
    others. `missing` are the strings that denote a missing value.

    Raises:
        DataError: the file is empty, damaged or in another encoding, or a row has too few or too many columns.
    """
    lines = _first_lines(file, encoding)
    if not any(line.strip() for line in lines):
        raise DataError("is empty", str(file), "Give at least one row.")
    if is_utf8(encoding):
        _check_utf8(file)
    dialect = _dialect(file, lines, separator, decimal, header, encoding, quotes)
    strings = {name for name, kind in (types or {}).items() if kind in ("categorical", "text")}
    table = _read(file, dialect, encoding, _string_types(strings, dialect, lines), missing)
    table = table.rename_columns(_names(table, dialect.header))
    first = 1 + dialect.header
    blank = next(number for number, line in enumerate(lines) if line.strip())
    name, before = (file.file, file.before) if isinstance(file, Excerpt) else (file, 0)
    return Source(to_frame(table, name), name, first + blank + before)


def find_dialect(
    file: Path | Excerpt,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    quotes: bool | None = None,
) -> tuple[Dialect, list[str]]:
    """Return the dialect of a file as detected by `read_delimited`, and the names of its columns.

    Raises:
        DataError: the file is not text, or in another encoding.
    """
    lines = _first_lines(file, encoding)
    dialect = _dialect(file, lines, separator, decimal, header, encoding, quotes)
    return dialect, [name for name, _ in _columns(dialect, lines)]


def read_strings(
    file: Path | Excerpt, names: Sequence[str], dialect: Dialect, encoding: str = "utf-8"
) -> pa.Table:
    """Return existing columns of a file in this order, as strings in their original form; missing values are empty."""
    known = dict(_columns(dialect, _first_lines(file, encoding)))
    types = {known[name]: pa.string() for name in names}
    return _read(file, dialect, encoding, types, missing=(), only=list(types)).rename_columns(list(names))


def _dialect(
    file: Path | Excerpt,
    lines: Sequence[str],
    separator: str | None,
    decimal: str | None,
    header: bool | None,
    encoding: str,
    quotes: bool | None,
) -> Dialect:
    dialect = sniff(lines, separator, decimal, header)
    if quotes is None and dialect.separator == "\t":
        with opened(file) as stream:
            text = io.TextIOWrapper(stream, encoding, errors="replace")
            quotes = not quotes_are_literal(text, dialect.separator)
    return replace(dialect, quotes=quotes is not False)


def _columns(dialect: Dialect, lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names of the columns, each with Arrow's name for it."""
    written = dialect.first_row([line for line in lines if line.strip()])
    if not dialect.header:
        return [(f"c{number}", f"f{number}") for number in range(len(written))]
    return [(name.strip() or f"c{number}", name) for number, name in enumerate(written)]


def _read(
    file: Path | Excerpt,
    dialect: Dialect,
    encoding: str,
    types: Mapping[str, pa.DataType],
    missing: Sequence[str],
    only: Sequence[str] = (),
) -> pa.Table:
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    def read(block: int) -> pa.Table:
        with opened(file, most=free_memory()) as stream:
            return csv.read_csv(
                stream,
                # Arrow numbers the rows only if it uses a single thread.
                read_options=csv.ReadOptions(
                    use_threads=False,
                    autogenerate_column_names=not dialect.header,
                    encoding=encoding,
                    block_size=block,
                ),
                parse_options=csv.ParseOptions(
                    delimiter=dialect.separator,
                    quote_char='"' if dialect.quotes else False,
                    newlines_in_values=dialect.quotes,
                    invalid_row_handler=note,
                ),
                convert_options=csv.ConvertOptions(
                    null_values=list(missing),
                    strings_can_be_null=bool(missing),
                    include_columns=list(only),
                    decimal_point=dialect.decimal,
                    column_types=dict(types),
                ),
            )

    try:
        try:
            return read(_BLOCK)
        except pa.ArrowInvalid as error:
            if _ROW_TOO_LONG not in str(error):
                raise
            return read(LONGEST_LINE)
    except (pa.ArrowException, UnicodeError) as error:
        if ragged:
            row = ragged[0]
            begins = row.text.partition("\n")[0].strip("\r")
            raise DataError(
                f"has {row.actual_columns} columns, but previous rows have {row.expected_columns}: "
                f"{begins[:60].strip()}",
                at_line(file, _line_of(file, encoding, begins, row.number)),
                "Correct the row; enclose cells that contain the separator in quotes.",
            ) from error
        if _ROW_TOO_LONG in str(error):
            raise DataError(
                f"has a row of more than {amount(LONGEST_LINE)}",
                str(file),
                "Check for a quote that is not closed. If quotes are ordinary characters, set dataset.quotes=false.",
            ) from error
        raise DataError(f"cannot be read as a table: {first_line(error)}", str(file), _HINT) from error


def _line_of(file: Path | Excerpt, encoding: str, begins: str, row: int | None) -> int:
    """Return the line of a row; Arrow counts rows, and a row with quotes may span several lines."""
    found = None
    with opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            if line.decode(encoding, errors="replace").rstrip("\r\n") == begins:
                if number == row:
                    return number
                found = found or number
    return found or row or 1


_HINT = "Check the file, and its format: dataset.separator, dataset.header, dataset.encoding."


def _string_types(names: Collection[str], dialect: Dialect, lines: Sequence[str]) -> dict[str, pa.DataType]:
    """Return Arrow's types of columns that must stay strings, by Arrow's names."""
    if not dialect.header:
        return {f"f{name.removeprefix('c')}": pa.string() for name in names}
    written = dialect.first_row([line for line in lines if line.strip()])
    return {name: pa.string() for name in (*names, *written) if name.strip() in names}


def _names(table: pa.Table, header: bool) -> list[str]:
    """Return the names of the columns, `c0`, `c1`, ... if there are none."""
    given = table.column_names if header else [""] * table.num_columns
    return [name.strip() or f"c{number}" for number, name in enumerate(given)]


def _first_lines(file: Path | Excerpt, encoding: str) -> list[str]:
    with opened(file) as stream:
        start = stream.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") and not encoding.lower().startswith("utf-16"):
        raise DataError("is written in UTF-16", str(file), "Give dataset.encoding=utf-16.")
    if b"\x00" in start and "16" not in encoding and "32" not in encoding:
        raise DataError(
            "is not text", str(file), "If the table has another format, use its suffix (.parquet, .xlsx)."
        )
    with opened(file) as stream:
        raw: list[bytes] = []
        for line in itertools.islice(stream, _LINES):
            raw.append(line)
            if len(raw) > 1 and sum(map(len, raw)) > _LENGTH:
                break
    try:
        if codecs.lookup(codec(encoding)).name in _OF_NAMES:
            raise LookupError
        text = b"".join(raw).decode(codec(encoding), errors="replace")
    except LookupError as error:
        raise DataError(
            f"there is no encoding {encoding}", "dataset.encoding", "Give one such as utf-8 or latin-1."
        ) from error
    return text.splitlines()


def _check_utf8(file: Path | Excerpt) -> None:
    """Raise an error with the first line that is not UTF-8, which Arrow would return as bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with opened(file, most=free_memory()) as stream:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        with opened(file) as stream:
            for number, line in enumerate(stream, start=1):
                _check_line(line, at_line(file, number))


def _check_line(line: bytes, where: str) -> None:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        before = line[: error.start][-20:].decode("utf-8", errors="replace")
        after = f'after "{before}"' if before else "at its beginning"
        raise DataError(
            f"is not UTF-8: byte 0x{line[error.start]:02x} {after}",
            where,
            "Give the encoding of the file, such as dataset.encoding=latin-1.",
        ) from error

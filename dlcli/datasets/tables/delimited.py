"""Reading delimited text files such as CSV and TSV: the dialect is detected, and errors name the line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import csv

from dlcli.config.suggest import hint
from dlcli.datasets.reading.cells import MISSING
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.tables.beginning import beginning_of
from dlcli.datasets.tables.bounds import LONGEST_LINE
from dlcli.datasets.tables.compression import Excerpt, at_line, opened
from dlcli.datasets.tables.form import Form, find_form, numbered, plain_excerpt
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.layout import ROW_NAMES, Layout, advice_on_blanks
from dlcli.datasets.tables.line_gaps import Watched
from dlcli.datasets.tables.lines import is_utf8
from dlcli.datasets.tables.number_columns import (
    FIRST,
    LARGE,
    NoNumber,
    beginning,
    column_without_number,
    find_number_columns,
    require_no_nan,
)
from dlcli.datasets.tables.packing import packed
from dlcli.datasets.tables.quoted_rows import all_lines_are_rows, empty_lines
from dlcli.datasets.tables.source import RawTable
from dlcli.errors import DataError, Problem, first_line
from dlcli.formatting import amount, counted
from dlcli.process.memory import free_memory

# Block size in bytes; larger blocks are used for a longer row.
_BLOCK = 1 << 20

# Part of Arrow's message about a row that is longer than a block.
_ROW_TOO_LONG = "straddles two block boundaries"


def read_delimited(
    file: Path | Excerpt,
    options: FormatOptions,
    names: Collection[str] = (),
    form: Form | None = None,
    deciding: ReadingOptions | None = None,
) -> RawTable:
    """Return the cells of a table of text, as strings without any conversion, but for numbers with `deciding`.

    Args:
        file: the file.
        options: its format.
        names: names of columns that settings use, by which a header is recognized.
        form: the form of the file if it is known.
        deciding: the options by which the columns will be decided. Columns of plain numbers of a large file are then
            parsed while it is read (`dlcli.datasets.tables.number_columns`).

    Raises:
        DataError: the file is empty, damaged or in another encoding, or a row has too few or too many columns.
    """
    form = form or find_form(file, options, names)
    place, before = (file.file, file.before) if isinstance(file, Excerpt) else (file, 0)
    blank = 0
    titles = title_warnings(place, form.layout)
    if not form.layout.is_plain:
        file = plain_excerpt(file, form)
        blank = form.layout.skip - form.layout.in_comment
        form = form.plain
    else:
        lines = beginning_of(file, form.encoding)
        blank = next((number for number, line in enumerate(lines) if line.strip()), 0)
    comments: list[int] = []
    # Arrow skips an empty line in place of the header, which it would parse with the numbers below.
    rows = _read(file, form, comments, None if blank else deciding)
    table = rows.table
    empty: list[int] = []
    others = len(comments) + (1 + sum(name.count("\n") for name in rows.header) if rows.header else 0)
    if rows.may_have_gaps and not all_lines_are_rows(file, table, others):
        empty = empty_lines(file, form.dialect, form.encoding, comments)
    table = table.rename_columns(numbered(rows.header or [""] * table.num_columns))
    if form.drops_last and table.num_columns > 1 and _is_empty(table.column(table.num_columns - 1)):
        table = table.remove_column(table.num_columns - 1)
    raw = RawTable.of(
        table,
        place,
        1 + form.dialect.header + blank + before,
        between=sorted(row - form.dialect.header for row in (*comments, *empty)),
        separator=form.dialect.separator,
        index=[ROW_NAMES] if ROW_NAMES in table.column_names else [],
        warnings=[*titles, *skipped_warnings(place, len(comments), len(empty))],
        unnamed=_is_unnamed(rows.header),
    )
    parsed = frozenset(table.column_names[number] for number in rows.numbers)
    return replace(raw, comments=len(comments), empty=len(empty), parsed=parsed)


class _Rows(NamedTuple):
    """The rows of a file.

    Attributes:
        table: its rows.
        header: the cells of the header; empty without one.
        may_have_gaps: whether there may be empty lines between the rows.
        numbers: the columns that are parsed.
    """

    table: pa.Table
    header: list[str]
    may_have_gaps: bool
    numbers: frozenset[int] = frozenset()


def _read(
    file: Path | Excerpt, form: Form, comments: list[int], deciding: ReadingOptions | None = None
) -> _Rows:
    """Return the rows; `comments` receives the number of rows before each comment."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        if row.text.startswith("#"):
            comments.append((row.number or 0) - 1 - len(comments))
            return "skip"
        ragged.append(row)
        return "error"

    def read(block: int, header: list[str], numbers: frozenset[int], expected: int) -> _Rows:
        comments.clear()
        with opened(file, most=free_memory()) as stream:
            watched = Watched(stream, utf8=is_utf8(form.encoding))
            reader = _reader(watched, form, block, note, numbers)
            # New rows are read in pieces, of which some columns are copied to the output.
            table = packed(reader, reader.schema, expected) if isinstance(file, Path) else reader.read_all()
            require_no_nan(table, numbers)
            if form.dialect.header and not numbers:
                header, table = _first_row(table), table.slice(1)
            return _Rows(table, header, watched.has_gaps, numbers)

    block = _BLOCK
    try:
        header, numbers, expected = _find_numbers(file, form, deciding)
        most = len(numbers) - 1
        while True:
            try:
                return read(block, header, numbers, expected)
            except (pa.ArrowInvalid, NoNumber) as error:
                # What has been read before is freed with the error, before the next attempt.
                # The message may quote a row of another error, which contains such words.
                if (column := column_without_number(error)) in numbers:
                    numbers = numbers - {column} if len(numbers) > most else frozenset()
                elif _ROW_TOO_LONG in str(error) and block < LONGEST_LINE:
                    block = LONGEST_LINE
                else:
                    raise
    except (pa.ArrowException, UnicodeError) as error:
        if is_utf8(form.encoding):
            _check_lines(file)
        if ragged:
            row = ragged[0]
            begins = row.text.partition("\n")[0].strip("\r")
            raise DataError(
                f"has {counted(row.actual_columns, 'column')}, but previous rows have {row.expected_columns}: "
                f"{begins[:60].strip()}",
                at_line(file, _line_of(file, form.encoding, begins, row.number)),
                hint(
                    advice_on_blanks(beginning_of(file, form.encoding)),
                    "Correct the row; enclose cells that contain the separator in quotes.",
                ),
            ) from error
        if _ROW_TOO_LONG in str(error):
            raise DataError(
                f"has a row of more than {amount(LONGEST_LINE)}",
                str(file),
                "Check for a quote that is not closed. Texts in which quotes are ordinary characters are read with "
                "dataset=text dataset.quotes=false.",
            ) from error
        raise DataError(f"cannot be read as a table: {first_line(error)}", str(file), _HINT) from error


def _reader(
    stream: Watched,
    form: Form,
    block: int,
    note: Callable[[Any], str],
    numbers: Collection[int] = (),
) -> csv.CSVStreamingReader:
    """Return Arrow's reader of rows, in which cells are strings, and numbers in columns that are parsed.

    Rows include the header unless columns are parsed.
    """
    dialect = form.dialect
    kinds = {
        number: pa.float64() if number in numbers else pa.string() for number in range(len(form.names) + 2)
    }
    return csv.open_csv(
        stream,
        # Arrow numbers the rows only if it uses a single thread.
        read_options=csv.ReadOptions(
            use_threads=False,
            autogenerate_column_names=True,
            encoding=form.encoding,
            block_size=block,
            skip_rows_after_names=int(dialect.header and bool(numbers)),
        ),
        parse_options=csv.ParseOptions(
            delimiter=dialect.separator,
            quote_char='"' if dialect.quotes else False,
            newlines_in_values=dialect.quotes,
            invalid_row_handler=note,
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,  # `Watched` does so in less time
            null_values=MISSING,
            strings_can_be_null=False,
            column_types={f"f{number}": kind for number, kind in kinds.items()},
        ),
    )


def _find_numbers(
    file: Path | Excerpt, form: Form, deciding: ReadingOptions | None
) -> tuple[list[str], frozenset[int], int]:
    """Return the header, the columns of a large file that are parsed, and about its number of rows, or slightly more.

    Without such columns, the header is not read, nor are rows counted.
    """
    if deciding is None or isinstance(file, Excerpt) or file.stat().st_size < LARGE:
        return [], frozenset(), 0
    try:
        with opened(file, most=free_memory()) as stream:
            reader = _reader(Watched(stream, utf8=is_utf8(form.encoding)), form, _BLOCK, lambda _: "skip")
            first = beginning(reader, FIRST)
    except (pa.ArrowException, UnicodeError):
        first = None  # what is wrong is reported when all rows are read
    if first is None:
        return [], frozenset(), 0
    header = _first_row(first) if form.dialect.header else []
    names = numbered(header or [""] * first.num_columns)
    found = find_number_columns(first.slice(form.dialect.header), names, deciding)
    # A string takes 4 bytes besides its characters, in the file 1 for the separator.
    size = file.stat().st_size / (first.nbytes - 3 * len(first) * first.num_columns)
    found -= {0} if _is_unnamed(header) else set()  # which may be numbers of rows
    return header, found, int(1.05 * size * len(first))


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


def _first_row(table: pa.Table) -> list[str]:
    return [column[0].as_py() for column in table.columns] if len(table) else []


def _is_unnamed(header: Sequence[str]) -> bool:
    """Return whether the first column has no name."""
    return bool(header) and header[0].strip() in ("", "Unnamed: 0")


def _is_empty(column: pa.ChunkedArray) -> bool:
    return all(not text for text in column.unique().to_pylist())


def title_warnings(file: Path, layout: Layout) -> list[Problem]:
    """Return the warning on lines before the table that are skipped, such as a title."""
    if layout.title is None:
        return []
    lines = counted(layout.skip, "line")
    return [Problem(f"{lines} before the table skipped: {layout.title[:60]}", f"{file}:1")]


def skipped_warnings(file: Path, comments: int, empty: int) -> list[Problem]:
    """Return the warnings on lines between the rows that are skipped: numbers of comments and of empty lines."""
    found = []
    if comments:
        found.append(f"{counted(comments, 'line')} beginning with # skipped")
    if empty:
        found.append(f"{counted(empty, 'empty line')} between the rows skipped")
    return [Problem(message, str(file)) for message in found]


def _check_lines(file: Path | Excerpt) -> None:
    """Raise an error if a line is not UTF-8.

    Raises:
        DataError: one is not.
    """
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
            "Give the encoding of the file, such as dataset.encoding=cp1252 (Windows) or latin-1.",
        ) from error

"""Reading delimited text files such as CSV and TSV: the dialect is detected, and errors name the line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from dlcli.config.suggest import hint
from dlcli.datasets.tables.beginning import beginning_of
from dlcli.datasets.tables.bounds import LONGEST_LINE
from dlcli.datasets.tables.compression import Excerpt, at_line, opened
from dlcli.datasets.tables.dialect import Dialect, has_stray_quote, quotes_are_literal, sniff
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.layout import ROW_NAMES, Layout, advice_on_blanks, find_layout
from dlcli.datasets.tables.line_gaps import Watched
from dlcli.datasets.tables.lines import is_like_ascii, is_utf8, text_lines
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


@dataclass(frozen=True)
class Form:
    """The format of a delimited text file.

    Attributes:
        dialect: its dialect.
        layout: what comes before and around its cells.
        encoding: its encoding.
        names: names of the columns.
        drops_last: whether each line ends with a separator that is followed by nothing.
    """

    dialect: Dialect
    layout: Layout
    encoding: str
    names: tuple[str, ...]
    drops_last: bool = False

    @property
    def plain(self) -> Form:
        """The form of the lines that `layout` makes plain."""
        return replace(self, layout=Layout(), encoding="utf-8")


def read_delimited(
    file: Path | Excerpt, options: FormatOptions, names: Collection[str] = (), form: Form | None = None
) -> RawTable:
    """Return the cells of a table of text, as strings without any conversion.

    Args:
        file: the file.
        options: its format.
        names: names of columns that settings use, by which a header is recognized.
        form: the form of the file if it is known.

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
    table, may_have_gaps = _read(file, form, comments)
    empty: list[int] = []
    if may_have_gaps and not all_lines_are_rows(file, table, len(comments)):
        empty = empty_lines(file, form.dialect, form.encoding, comments)
    first = table.column(0)[0].as_py().strip() if form.dialect.header and len(table) else "named"
    table = table.rename_columns(_names(table, form.dialect.header)).slice(form.dialect.header)
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
        unnamed=not first or first == "Unnamed: 0",
    )
    return replace(raw, comments=len(comments), empty=len(empty))


def find_form(file: Path | Excerpt, options: FormatOptions, names: Collection[str] = ()) -> Form:
    """Return the form of a file, and the names of its columns.

    Raises:
        DataError: the file is empty, not text, or in another encoding.
    """
    lines = beginning_of(file, options.encoding)
    if not any(line.strip() for line in lines):
        raise DataError("is empty", str(file), "Give at least one row.")
    layout = find_layout(lines, options.separator_sign)
    lines = [line for line in layout.lines(lines) if line.strip()]
    header = True if options.has_header is None and layout.header is not None else options.has_header
    dialect = sniff(lines, layout.separator or options.separator_sign, header, names)
    quotes = options.has_quotes
    if quotes is None and dialect.separator == "\t":
        quotes = not _are_literal(file, options.encoding, dialect.separator)
    dialect = replace(dialect, quotes=quotes is not False)
    written = dialect.first_row(lines)
    found = written if dialect.header else [""] * len(written)
    found = _numbered(found)
    last = [cells[-1:] for cells in map(partial(_cells, dialect), lines)]
    drops = len(found) > 1 and not any(map("".join, last)) and (not dialect.header or not written[-1].strip())
    return Form(dialect, layout, options.encoding, tuple(found[:-1] if drops else found), drops)


def _are_literal(file: Path | Excerpt, encoding: str, separator: str) -> bool:
    """Return whether quotes in a file are ordinary characters."""
    if is_like_ascii(encoding):
        with opened(file) as stream:
            if not has_stray_quote(stream, separator):
                return False
    with opened(file) as stream:
        return quotes_are_literal(text_lines(stream, file, encoding), separator)


def plain_excerpt(file: Path | Excerpt, form: Form) -> Excerpt:
    """Return a file's lines in memory, without what is peculiar to its layout."""
    place, before = (file.file, file.before) if isinstance(file, Excerpt) else (file, 0)
    with opened(file, most=free_memory()) as stream:
        lines = form.layout.lines(text_lines(stream, file, form.encoding))
        content = "".join(lines).encode("utf-8", "surrogateescape")
    return Excerpt(place, content, before + form.layout.skip - form.layout.in_comment)


def _cells(dialect: Dialect, line: str) -> list[str]:
    return [cell.strip() for cell in dialect.first_row([line])]


def _read(file: Path | Excerpt, form: Form, comments: list[int]) -> tuple[pa.Table, bool]:
    """Return the rows, and whether there may be empty lines between them; `comments` receives the rows before each."""
    ragged: list[Any] = []
    dialect = form.dialect

    def note(row: Any) -> str:
        if row.text.startswith("#"):
            comments.append((row.number or 0) - 1 - len(comments))
            return "skip"
        ragged.append(row)
        return "error"

    def read(block: int) -> tuple[pa.Table, bool]:
        comments.clear()
        with opened(file, most=free_memory()) as stream:
            watched = Watched(stream, utf8=is_utf8(form.encoding))
            reader = csv.open_csv(
                watched,
                # Arrow numbers the rows only if it uses a single thread.
                read_options=csv.ReadOptions(
                    use_threads=False,
                    autogenerate_column_names=True,
                    encoding=form.encoding,
                    block_size=block,
                ),
                parse_options=csv.ParseOptions(
                    delimiter=dialect.separator,
                    quote_char='"' if dialect.quotes else False,
                    newlines_in_values=dialect.quotes,
                    invalid_row_handler=note,
                ),
                convert_options=csv.ConvertOptions(
                    null_values=[],
                    strings_can_be_null=False,
                    column_types={f"f{number}": pa.string() for number in range(len(form.names) + 2)},
                ),
            )
            # New rows are read in pieces, of which some columns are copied to the output.
            table = packed(reader, reader.schema) if isinstance(file, Path) else reader.read_all()
            return table, watched.has_gaps

    try:
        try:
            return read(_BLOCK)
        except pa.ArrowInvalid as error:
            if _ROW_TOO_LONG not in str(error):
                raise
        # Not within `except`, whose error holds what has been read before the long row.
        return read(LONGEST_LINE)
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


def _names(table: pa.Table, header: bool) -> list[str]:
    """Return the names of the columns, `c0`, `c1`, ... if there are none."""
    given = (
        [column[0].as_py() for column in table.columns] if header and len(table) else [""] * table.num_columns
    )
    return _numbered(given)


def _numbered(names: Sequence[str]) -> list[str]:
    return [name.strip() or f"c{number}" for number, name in enumerate(names)]


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

"""`Form`: the format of a delimited text file, as it is detected by its first lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dlcli.datasets.tables.beginning import beginning_of
from dlcli.datasets.tables.compression import Excerpt, opened
from dlcli.datasets.tables.dialect import Dialect, has_stray_quote, quotes_are_literal, sniff
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.layout import Layout, find_layout
from dlcli.datasets.tables.lines import is_like_ascii, text_lines
from dlcli.errors import DataError
from dlcli.process.memory import free_memory


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
    found = numbered(found)
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


def numbered(names: Sequence[str]) -> list[str]:
    """Return names of columns, `c0`, `c1`, ... for those that have none."""
    return [name.strip() or f"c{number}" for number, name in enumerate(names)]

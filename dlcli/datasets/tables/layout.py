"""The layout of text tables that are more than a header and rows: comments, `sep=;`, row names, aligned columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from dlcli.config.pasted import pasted
from dlcli.datasets.tables.dialect import NUMBER, sniff, split_rows, widest_separator

# The line that Excel understands as the separator of a file.
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)

# Name of the column of row names that R writes without a name.
ROW_NAMES = "(row names)"

# A name as R writes it: one word, perhaps in quotes.
_FRACTION = re.compile(r"-.*|[+]?\d*\.\d+(?:[eE][-+]?\d+)?")
_R_NAME = re.compile(r'"[^"]+"|[\w.]+')

# Two numbers with several blanks between them, as in columns of a fixed width.
_WIDE_NUMBERS = re.compile(r"(?<!\S)[-+]?[\d.,]*[\d.] {2,}[-+]?[\d.,]*[\d.](?!\S)")

# Several blanks between words or numbers, or a cell in quotes between blanks.
_SET_APART = re.compile(r'\S {2,}\S|(?<!\S)"[^"]*"(?!\S)')

# Number of columns, and of rows, from which even columns of words that are set apart are aligned.
_WIDE = 4

# Most lines of a title, and the like, before a table.
_TITLES = 10


@dataclass(frozen=True)
class Layout:
    """The properties of a delimited text file besides its dialect.

    Attributes:
        skip: number of lines before the table.
        title: the first of these lines if it is a title or the like, which is no comment.
        separator: the separator that the file names.
        header: the header that replaces the first line of the table, if that has fewer cells than the rows.
        in_comment: whether the last of the skipped lines is the header, after a #.
        aligned: whether columns are separated by any number of blanks.
    """

    skip: int = 0
    title: str | None = None
    separator: str | None = None
    header: str | None = None
    in_comment: bool = False
    aligned: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a reader needs no help."""
        return self == Layout()

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Return the lines of a table with this layout as plain ones."""
        rest = iter(lines)
        first = list(self._first(islice(rest, self.skip + 1)))
        return map(_aligned, chain(first, rest)) if self.aligned else chain(first, rest)

    def _first(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines up to the first one of the table."""
        for number, line in enumerate(lines):
            if number < self.skip:
                if self.in_comment and number == self.skip - 1 and self.header is not None:
                    yield self.header + "\n"
                continue
            if number == self.skip and self.header is not None and not self.in_comment:
                line = self.header + line[len(line.rstrip("\r\n")) :]
            yield line


def find_layout(lines: Sequence[str], separator: str | None = None) -> Layout:
    """Return the layout of a file by its first lines; a given separator is kept."""
    layout, comments = _before(lines)
    rows = [line for line in lines[layout.skip :] if line.strip()]
    if not rows:
        return Layout()
    if not _marks_cells(lines):  # comments between the rows have fewer cells
        rows = [line for line in rows if not line.startswith("#")] or rows
    if not comments and (titles := _titles(rows, separator or layout.separator)):
        skip = next(number for number, line in enumerate(lines) if line is rows[titles])
        layout = replace(layout, skip=skip, title=rows[0].strip())
        rows = rows[titles:]
    chosen = separator or layout.separator or widest_separator(rows)
    if (
        separator in (None, " ")
        and layout.separator is None
        and _is_aligned(rows, chosen, asked=separator == " ")
    ):
        layout, chosen, rows = (
            replace(layout, aligned=True, separator=" "),
            " ",
            [_aligned(row) for row in rows],
        )
    if comments and (header := _header_in(comments[-1], rows, chosen)) is not None:
        return replace(layout, header=header, in_comment=True)
    layout = replace(layout, header=_short_header(rows, chosen))
    blank = all(not line.strip() for line in lines[: layout.skip])
    return replace(layout, skip=0) if blank and replace(layout, skip=0).is_plain else layout


def _titles(rows: Sequence[str], separator: str | None) -> int:
    """Return how many lines before the table, such as a title, have too few cells to be its header or a row of it."""
    for number in range(min(len(rows) - 1, _TITLES + 1)):
        chosen = separator or widest_separator(rows[number:])
        cells = split_rows(rows[number:], chosen)
        widths = {len(row) for row in cells[1:]}
        # A row with more cells than all others is no header after lines of their width.
        width = min(max(map(_filled, cells)), max(widths, default=0))
        if len(widths) == 1 and width > 1 and _filled(cells[0]) >= max(width - 1, 2):
            before = [_filled(row) for line in rows[:number] for row in split_rows([line], chosen)]
            if number == 1 and _is_name_of_one_column(rows, chosen):
                return 0
            # A single line with several cells may be a header in which some names are missing.
            return number if max(before, default=width) < (2 if number == 1 else width) else 0
    return 0


def _is_name_of_one_column(rows: Sequence[str], separator: str) -> bool:
    """Return whether the first line is R's header of a table with row names, which differ, and a single column."""
    if not _R_NAME.fullmatch(rows[0].strip()) or _short_header(rows, separator) is None:
        return False
    names = [row[0] for row in split_rows(rows[1:], separator)]
    return len(set(names)) == len(names) and not sniff(rows[1:], separator).header


def _filled(cells: Sequence[str]) -> int:
    """Return the number of cells up to the last one that is not empty."""
    return max((place for place, cell in enumerate(cells, start=1) if cell.strip()), default=0)


def _before(lines: Sequence[str]) -> tuple[Layout, list[str]]:
    """Return how many lines come before the table, and those of them that are comments."""
    comments: list[str] = []
    separator = None
    if _marks_cells(lines):
        return Layout(), []
    number = 0
    for number, line in enumerate(lines):  # noqa: B007
        if found := _SEP.fullmatch(line):
            separator = found[1]
        elif line.startswith("#"):
            comments.append(line)
        elif line.strip():
            break
    return Layout(skip=number, separator=separator), comments


def _marks_cells(lines: Sequence[str]) -> bool:
    """Return whether # is part of cells: more lines begin with it than comments would."""
    marked = sum(line.startswith("#") for line in lines)
    return marked > len(lines) / 2 and marked > 1


def _header_in(comment: str, rows: Sequence[str], separator: str) -> str | None:
    """Return the header that a comment holds: it has as many cells as the rows, which have no header of their own."""
    text = comment[1:].rstrip("\r\n")
    if text.startswith(separator) and separator != " ":  # the name of the first column is #
        text = comment.rstrip("\r\n")
    text = _aligned(text) if separator == " " else text.strip()
    cells, *others = split_rows([text, *rows[:5]], separator)
    if len(cells) < 2 or any(len(row) != len(cells) for row in others):
        return None
    return text if any(NUMBER.fullmatch(cell.strip()) for cell in others[0]) else None


def _short_header(rows: Sequence[str], separator: str) -> str | None:
    """Return a header with a name for every column, if it has one name less than the rows have cells.

    R's names of rows differ, and are words or whole numbers. Otherwise cells contain the separator, and the rows are
    refused when they are read: a decimal comma, or a cell in single quotes.
    """
    if len(rows) < 2:
        return None
    header, *others = split_rows(rows, separator)
    widths = {len(row) for row in others}
    if widths != {len(header) + 1} or not header:
        return None
    first = rows[0].rstrip("\r\n")
    if all(not row[-1].strip() for row in others):
        return first + separator
    names = [row[0].strip() for row in others]
    if len(set(names)) < len(names) or any(map(_FRACTION.fullmatch, names)) or any(map(_is_torn, others)):
        return None
    name = f'"{ROW_NAMES}"' if separator in ROW_NAMES else ROW_NAMES
    return f"{name}{separator}{first}"


def _is_torn(cells: Sequence[str]) -> bool:
    """Return whether a cell in single quotes contains the separator, and is therefore two cells."""
    parts = [cell.strip() for cell in cells]
    begins = [part.startswith("'") and (len(part) == 1 or not part.endswith("'")) for part in parts]
    return any(begins) and any(part.endswith("'") for part in parts[begins.index(True) + 1 :])


def _is_aligned(rows: Sequence[str], chosen: str, *, asked: bool) -> bool:
    """Return whether cells are separated by blanks alone, and enough of them are numbers.

    A separator that fits the header and most rows is meant; blanks are then part of the cells.
    """
    cells = split_rows([_aligned(row) for row in rows], " ")
    widths = {len(row) for row in cells[1:]} if len(cells) > 1 else {len(row) for row in cells}
    if len(widths) != 1 or max(widths) < 2 or len(cells[0]) not in (max(widths), max(widths) - 1):
        return False
    if asked:
        return any("  " in row.strip() or row[:1] in " \t" for row in rows)
    split = split_rows(rows, chosen)
    if any(len(row) >= max(widths) for row in split):
        return False
    if _is_separator(split) and not _most(_WIDE_NUMBERS, rows):
        return False
    apart = _most(_SET_APART, rows)
    if len(cells[0]) == 1 and not apart:  # texts of two words
        return False
    if apart and max(widths) >= _WIDE and len(rows) > _WIDE:  # not by chance, even without numbers
        return True
    below = cells[1:] or cells  # the first row may be the header
    numbers = sum(bool(NUMBER.fullmatch(cell)) for row in below for cell in row)
    return (4 if apart else 2) * numbers >= sum(map(len, below))


def _is_separator(split: Sequence[Sequence[str]]) -> bool:
    """Return whether most rows have the same number of cells, several, and the header has as many or one less."""
    (width, count), *_ = Counter(map(len, split[1:] or split)).most_common(1)
    header = len(split[0])
    return 2 * count > len(split[1:]) and 1 < header <= width <= header + 1


def _most(expression: re.Pattern[str], rows: Sequence[str]) -> bool:
    return 2 * sum(bool(expression.search(row)) for row in rows) > len(rows)


def _aligned(line: str) -> str:
    end = line[len(line.rstrip("\r\n")) :]
    return re.sub(r"[ \t]+", " ", line.strip()) + end


def advice_on_blanks(lines: Sequence[str]) -> str:
    """Return the setting for columns separated by blanks if all lines have the same number of such cells, several."""
    rows = split_rows([_aligned(line) for line in lines if line.strip() and not line.startswith("#")], " ")
    fits = len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
    return f"If columns are separated by blanks: {pasted('dataset.separator', ' ')}." if fits else ""

"""Read new texts: from a column of a table, or one per line or file."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa

from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import list_files
from dlcli.datasets.notices import Notice
from dlcli.datasets.plain_text import not_decoded
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.tables.column_selection import PIECE, ColumnSelection
from dlcli.datasets.tables.compression import format_of, opened
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.lines import codec, text_lines
from dlcli.datasets.tables.pieces import STDIN, piped
from dlcli.datasets.tables.read_table import require_file
from dlcli.datasets.text_rows import Texts
from dlcli.errors import DataError
from dlcli.files.paths import is_folder
from dlcli.prediction.new_rows import NewRows, labels_of, pieces_of
from dlcli.prediction.new_tables import labels_of_piece

# Layout of texts in a file.
TextLayout = Literal["table", "lines"]

# Bytes to read in order to check whether the first line names columns.
_BEGINNING = 1 << 13

# Bytes that are invalid in the encoding are decoded to these surrogates.
_INVALID = re.compile("[\udc80-\udcff]")
_ENCODING = "Set the encoding of the file, such as dataset.encoding=utf-16 or latin-1."


@dataclass(frozen=True)
class TextSettings(FormatOptions):
    """Settings for reading texts.

    Attributes:
        text: Column of the texts; None if there is a single column.
    """

    text: str | None = None


def read_texts(
    files: Sequence[Path],
    keep: Sequence[str] | None,
    settings: TextSettings,
    report: Callable[[Notice], None],
    content: io.BufferedReader | None = None,
    layout: TextLayout | None = None,
) -> Iterator[NewRows]:
    """Yield texts with their numbers, counted from 0 in each file; for a folder of .txt files, with the files' names.

    A .txt file or standard input is read as a table if its first line names the column of texts. Otherwise each line
    is a text. `content` is that of a single file in memory; it is read like standard input, unless `layout` is set.

    Raises:
        DataError: The column is missing, or a file is not text.
    """
    for file in files:
        given = content is not None or file == STDIN
        if not given and not is_folder(file):
            require_file(file)
        if not given and (is_folder(file) or is_archive(file)):
            yield from _one_a_file(file, settings.encoding, report)
        elif given:
            stream = content or piped()
            begin = stream.peek()
            is_table = begin.lstrip()[:1] == b"{" or _names_column(begin, settings)
            if layout == "table" or (layout is None and is_table):
                yield from _in_table(files, file, keep, settings, report, stream)
            else:
                yield from _one_a_line(files, file, settings.encoding, stream)
        elif format_of(file) == ".txt":
            with opened(file) as packed:
                beginning = packed.read(_BEGINNING)
            if _names_column(beginning, settings):
                yield from _in_table(files, file, keep, settings, report)
            else:
                with opened(file) as packed:
                    yield from _one_a_line(files, file, settings.encoding, packed)
        else:
            yield from _in_table(files, file, keep, settings, report)


def _names_column(beginning: bytes, settings: TextSettings) -> bool:
    column = settings.text
    try:
        text = beginning.decode(codec(settings.encoding), errors="replace")
    except LookupError:  # an unknown encoding is reported when the whole file is read
        return False
    first = next(iter(text.lstrip().splitlines()), "")
    return column is not None and column in {cell.strip(' "') for cell in re.split(r"[,;\t|]", first)}


def _in_table(
    files: Sequence[Path],
    file: Path,
    keep: Sequence[str] | None,
    settings: TextSettings,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None = None,
) -> Iterator[NewRows]:
    column = settings.text
    wanted = ColumnSelection([column] if column else [], column is None, keep)
    for piece in pieces_of(file, wanted, settings, report, stream=stream):
        labels = labels_of_piece(files, file, piece)
        as_texts = Columns(tuple(Column(name, "text", missing=()) for name in piece.raw.names))
        yield NewRows(file, Texts.of(piece.raw.read(as_texts).frame, column or ""), labels)


def _one_a_line(files: Sequence[Path], file: Path, encoding: str, stream: IO[bytes]) -> Iterator[NewRows]:
    first = 0
    lines = text_lines(stream, file, encoding, newline="\n")
    while some := list(islice(lines, PIECE)):
        texts = [
            _clean(line.rstrip("\r\n"), encoding, f"{file}:{n}") for n, line in enumerate(some, first + 1)
        ]
        yield NewRows(file, Texts.of(texts), labels_of(files, file, row=np.arange(first, first + len(some))))
        first += len(some)
    if not first:
        raise DataError("is empty", str(file), "Add at least one row.")


def _clean(text: str, encoding: str, where: str) -> str:
    """Return the text, or raise a DataError if it contains bytes that could not be decoded."""
    if not text.isascii() and (wrong := _INVALID.search(text)):
        raise DataError(f"is not {encoding}: byte 0x{ord(wrong[0]) - 0xDC00:02x}", where, _ENCODING)
    return text


def _one_a_file(place: Path, encoding: str, report: Callable[[Notice], None]) -> Iterator[NewRows]:
    entries, notices = list_files(place, (".txt",), "texts (.txt)")
    for notice in notices:
        report(notice)
    for first in range(0, len(entries), PIECE):
        some = entries[first : first + PIECE]
        texts = [_decoded(entry.read(), encoding, entry.where) for entry in some]
        yield NewRows(place, Texts.of(texts), pa.table({"file": [entry.where for entry in some]}))


def _decoded(content: bytes, encoding: str, where: str) -> str:
    try:
        return content.decode(codec(encoding))
    except LookupError as error:
        raise DataError(f"there is no encoding {encoding}", "dataset.encoding") from error
    except UnicodeDecodeError as error:
        raise not_decoded(content, error, where, encoding) from error

"""Read new sentences for a model of tags: texts, one per line, JSON lines of texts, or words in columns."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import numpy as np

from dlcli.datasets.tables.column_selection import PIECE
from dlcli.datasets.tables.compression import format_of, opened
from dlcli.datasets.tables.lines import text_lines
from dlcli.datasets.tables.pieces import STDIN, piped
from dlcli.datasets.tables.read_table import require_file
from dlcli.datasets.words.conll import Separator, read_word_columns
from dlcli.datasets.words.sentences import Sentences
from dlcli.datasets.words.span_lines import JSON_LINES, read_span_lines
from dlcli.errors import DataError
from dlcli.prediction.new_rows import NewRows, labels_of

# Number of sentences predicted at a time.
_SENTENCES = min(PIECE, 4096)


@dataclass(frozen=True)
class WordSettings:
    """Settings for reading sentences.

    Attributes:
        layout: Layout of sentences in a file: `lines`, one text per line, which is divided into words; `columns`, one
            word per line and a blank line after each sentence; auto: JSON lines by suffix, lines for .txt and standard
            input, else columns.
        word: Column of the words.
        separator: Separator of the columns.
        text: Key of the texts of JSON lines.
        encoding: Encoding of the file.
    """

    layout: Literal["auto", "lines", "columns"] = "auto"
    word: int = 0
    separator: Separator = "auto"
    text: str = "text"
    encoding: str = "utf-8"


def read_sentences(
    files: Sequence[Path], settings: WordSettings, content: io.BufferedReader | None = None
) -> Iterator[NewRows]:
    """Yield sentences with their numbers, counted from 0 in each file.

    Tags and spans, if there are any, are not read. `content` is that of a single file in memory: texts, or JSON lines,
    which begin with a brace.

    Raises:
        DataError: The file is invalid; the message names the line.
    """
    for file in files:
        given = content is not None or file == STDIN
        if given:
            memory = content or piped()
            if memory.peek().lstrip()[:1] == b"{":
                yield from _slices(files, file, _of_json(file, settings, memory))
            else:
                yield from _lines(files, file, settings.encoding, memory)
            continue
        require_file(file)
        if format_of(file) in JSON_LINES:
            yield from _slices(files, file, _of_json(file, settings))
        elif settings.layout == "columns" or (settings.layout == "auto" and format_of(file) != ".txt"):
            found = read_word_columns(file, settings.word, None, settings.separator, settings.encoding)
            yield from _slices(files, file, Sentences.of_spans(found.texts, found.spans))
        else:
            with opened(file) as stream:
                yield from _lines(files, file, settings.encoding, stream)


def _of_json(file: Path, settings: WordSettings, stream: IO[bytes] | None = None) -> Sentences:
    found = read_span_lines(file, settings.text, None, stream, settings.encoding)
    return Sentences.of_spans(found.texts, found.spans)


def _slices(files: Sequence[Path], file: Path, rows: Sentences) -> Iterator[NewRows]:
    for first in range(0, len(rows), _SENTENCES):
        some = rows[first : first + _SENTENCES]
        yield NewRows(file, some, labels_of(files, file, row=np.arange(first, first + len(some))))


def _lines(files: Sequence[Path], file: Path, encoding: str, stream: IO[bytes]) -> Iterator[NewRows]:
    first = 0
    lines = text_lines(stream, file, encoding, newline="\n")
    while some := [line.rstrip("\r\n") for line in islice(lines, _SENTENCES)]:
        for number, line in enumerate(some, first + 1):
            if any("\udc80" <= sign <= "\udcff" for sign in line):
                raise DataError(
                    f"is not {encoding}", f"{file}:{number}", "Set the encoding: dataset.encoding=latin-1."
                )
        labels = labels_of(files, file, row=np.arange(first, first + len(some)))
        yield NewRows(file, Sentences.of_texts(some), labels)
        first += len(some)
    if not first:
        raise DataError("is empty", str(file), "Add at least one line.")

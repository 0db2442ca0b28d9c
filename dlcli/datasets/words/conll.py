"""Reading words and tags in columns, one word a line, as in the shared tasks of CoNLL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dlcli.datasets.tables.compression import opened
from dlcli.datasets.tables.lines import text_lines
from dlcli.errors import DataError
from dlcli.formatting import counted

Separator = Literal["auto", "tab", "blank"]

_DOCUMENT, _COMMENT = "-DOCSTART-", "# "
# Number of columns of CoNLL-U, and the first one of lines that are no word of their own.
_CONLLU, _UNNUMBERED = 10, re.compile(r"\d+[-.]\d+")
_FORM = "One word a line with its tag, in columns; a blank line ends a sentence."


@dataclass
class TaggedRows:
    """Sentences as they were read, one entry per sentence in each list.

    Attributes:
        texts: the texts.
        spans: the places of the words of each text.
        tags: the tags of its words; empty lists for new sentences.
        groups: document of each sentence; -1 in files without documents.
        lines: line of the file of the first word of each sentence.
        tag_lines: line of each word, where words are lines.
        comments: number of comments that were left out.
        unnumbered: number of lines of CoNLL-U that were left out: contractions (3-4) and empty nodes (1.1).
        widened: number of entities that did not end with a word, and were extended to whole words.
    """

    texts: list[str] = field(default_factory=list)
    spans: list[list[tuple[int, int]]] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    tag_lines: list[list[int]] = field(default_factory=list)
    comments: int = 0
    unnumbered: int = 0
    widened: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def line_of(self, row: int, word: int) -> int:
        """Return the line of a word."""
        return self.tag_lines[row][word] if self.tag_lines else self.lines[row]


def read_word_columns(
    file: Path,
    word: int = 0,
    tag: int | None = -1,
    separator: Separator = "auto",
    encoding: str = "utf-8",
) -> TaggedRows:
    """Return the sentences of a file of columns.

    Lines that begin with -DOCSTART- begin a document; lines that begin with a `#` and a blank before a sentence are
    comments if they have another number of columns than the first other line, or a `=`, as in CoNLL-U.

    Args:
        file: the file, which may be compressed.
        word: column of the words, counted from 0; negative numbers count from the last one.
        tag: column of the tags; None reads none.
        separator: what separates columns; auto: tabs if the first word's line has one, else blanks.
        encoding: encoding of the file.

    Raises:
        DataError: a line has another number of columns than those before, or a column that does not exist.
    """
    found = TaggedRows()
    width, document = 0, -1
    shown = next((line for _, line in _lines(file, encoding) if _is_word(line)), "")
    sign = {"tab": "\t", "blank": None}.get(separator, "\t" if "\t" in shown else None)
    usual = len(shown.split(sign))
    words: list[str] = []
    tags: list[str] = []
    lines: list[int] = []

    def end() -> None:
        if words:
            found.texts.append(" ".join(words))
            found.spans.append(_spans(words))
            found.tags.append(list(tags))
            found.groups.append(document)
            found.lines.append(lines[0])
            found.tag_lines.append(list(lines))
            for several in (words, tags, lines):
                several.clear()

    for number, line in _lines(file, encoding):
        if not line.strip():
            end()
            continue
        if line.startswith(_DOCUMENT):
            end()
            document += 1
            continue
        cells = [cell.strip() for cell in line.split(sign)] if sign else line.split()
        if line.startswith(_COMMENT) and not words and (" = " in line or len(cells) != usual):
            found.comments += 1
            continue
        if len(cells) == _CONLLU and word % _CONLLU and _UNNUMBERED.fullmatch(cells[0]):
            found.unnumbered += 1
            continue
        width = width or _check_columns(len(cells), word, tag, f"{file}:{number}")
        if len(cells) != width:
            separated = "tabs" if sign else "blanks"
            raise DataError(
                f"has {counted(len(cells), 'column')} separated by {separated}, the lines before have {width}",
                f"{file}:{number}",
                f"{_FORM} Columns that are separated otherwise: dataset.separator=tab or blank.",
            )
        if not cells[word]:
            raise DataError("the word is empty", f"{file}:{number}", _FORM)
        words.append(cells[word])
        lines.append(number)
        if tag is not None:
            if not cells[tag]:
                raise DataError("the tag is empty", f"{file}:{number}", "Write O for a word without one.")
            tags.append(cells[tag])
    end()
    if not found.texts:
        raise DataError("holds no sentence", str(file), _FORM)
    return found


def _is_word(line: str) -> bool:
    return bool(line.strip()) and not line.startswith((_DOCUMENT, _COMMENT))


def _check_columns(width: int, word: int, tag: int | None, where: str) -> int:
    """Return the number of columns of the first line, after checking that it has those of words and tags."""
    for key, column in (("word", word), ("tag", tag)):
        if column is not None and not -width <= column < width:
            raise DataError(
                f"there is no column {column}: the line has {width}",
                where,
                f"Set dataset.{key} to the number of the column, from 0 to {width - 1}; -1 is the last one.",
            )
    if tag is not None and word % width == tag % width:
        raise DataError(
            "words and tags would be the same column",
            where,
            f"{_FORM} Set dataset.word and dataset.tag, or dataset.separator=tab or blank.",
        )
    return width


def _spans(words: list[str]) -> list[tuple[int, int]]:
    found, first = [], 0
    for word in words:
        found.append((first, first + len(word)))
        first += len(word) + 1
    return found


def _lines(file: Path, encoding: str) -> Iterator[tuple[int, str]]:
    with opened(file) as stream:
        for number, line in enumerate(text_lines(stream, file, encoding, newline="\n"), start=1):
            if not line.isascii() and any("\udc80" <= sign <= "\udcff" for sign in line):
                raise DataError(
                    f"is not {encoding}",
                    f"{file}:{number}",
                    "Set the encoding of the file, such as dataset.encoding=latin-1.",
                )
            yield number, line.rstrip("\r\n")

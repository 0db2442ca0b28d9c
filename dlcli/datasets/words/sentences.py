"""`Sentences`: texts that are divided into words, as rows of a dataset."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from dlcli.datasets.text_rows import Texts
from dlcli.errors import DataError

# A word: letters and digits, or a single other sign.
_WORD = re.compile(r"\w+|[^\w\s]")

# Signs without a width that stand within words of Persian and Indian scripts.
_JOINERS = "\u200c\u200d"


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return the first character of each word of a text and the one after its last; signs are words of their own.

    Combining marks, such as accents and the vowel signs of Hindi, belong to their word.
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    return spans if text.isascii() else _with_marks(text, spans)


def _with_marks(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans, joined where a combining mark or a joiner stands within a word or at its end."""
    found: list[tuple[int, int]] = []
    for first, end in spans:
        adjoins = bool(found) and found[-1][1] == first
        if adjoins and (_is_mark(text[first]) or (_is_mark(text[first - 1]) and text[first].isalnum())):
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found


def _is_mark(sign: str) -> bool:
    return sign in _JOINERS or unicodedata.category(sign).startswith("M")


@dataclass(frozen=True, eq=False)
class Sentences:
    """Texts and the places of their words, of which row i has `lengths[i]` from `starts[i]` on.

    Attributes:
        texts: the texts `(N,)`.
        spans: first character of each word in its text and the one after its last `(V, 2)`, int64.
        starts: first word of each row `(N,)`.
        lengths: number of words of each row `(N,)`.
    """

    texts: Texts
    spans: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of_spans(cls, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]) -> Self:
        """Return texts with the places of the words of each."""
        lengths = np.array([len(own) for own in spans], np.int64)
        flat = np.array([span for own in spans for span in own], np.int64).reshape(-1, 2)
        return cls(Texts.of(list(texts)), flat, lengths.cumsum() - lengths, lengths)

    @classmethod
    def of_words(cls, rows: Sequence[Sequence[str]]) -> Self:
        """Return lists of words, whose texts have a blank between words."""
        spans = []
        for words in rows:
            ends = np.cumsum([len(word) + 1 for word in words]).tolist()
            spans.append([(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)])
        return cls.of_spans([" ".join(words) for words in rows], spans)

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Self:
        """Return texts that are divided by `word_spans`."""
        return cls.of_spans(texts, [word_spans(text) for text in texts])

    @classmethod
    def of(cls, rows: Any) -> Sentences:
        """Return rows in memory: a list of texts, or of lists of words.

        Raises:
            DataError: the rows are something else.
        """
        if isinstance(rows, Sentences):
            return rows
        found = [rows] if isinstance(rows, str) else list(rows)
        if all(isinstance(row, str) for row in found):
            return cls.of_texts(found)
        if all(isinstance(row, list | tuple) and all(isinstance(word, str) for word in row) for row in found):
            return cls.of_words(found)
        raise DataError("is not text", "new data", "Pass a list of texts, or of lists of words.")

    @property
    def shape(self) -> tuple[int]:
        """`(N,)`."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Self:
        """Return some of the rows in this order."""
        return replace(self, texts=self.texts[rows], starts=self.starts[rows], lengths=self.lengths[rows])

    def spans_of(self, row: int) -> list[tuple[int, int]]:
        """Return the places of the words of a row."""
        first = self.starts[row]
        return [(int(begin), int(end)) for begin, end in self.spans[first : first + self.lengths[row]]]

    def words(self) -> Iterator[list[str]]:
        """Yield the words of each row."""
        for row, text in enumerate(self.texts):
            yield [text[begin:end] for begin, end in self.spans_of(row)]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Iterate over the rows as tuples of words."""
        return map(tuple, self.words())

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the values that the fingerprint is computed from."""
        yield from self.texts.pieces()
        yield self.lengths
        for row in range(len(self)):
            first = self.starts[row]
            yield self.spans[first : first + self.lengths[row]]

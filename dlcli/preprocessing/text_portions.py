"""Texts in portions, whose characters and statistics are computed once for several steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from dlcli.datasets.text_rows import Texts
from dlcli.preprocessing.character_ngrams import TextCharacters, characters_of
from dlcli.preprocessing.text_statistics import text_statistics

# Number of characters of texts processed at a time.
_CHARACTERS = 1 << 22


class TextPortion:
    """A portion of texts.

    Args:
        texts: the texts.
        lowercase: whether characters are those in lower case.
    """

    def __init__(self, texts: list[str], lowercase: bool) -> None:
        self.texts = texts
        self._lowercase = lowercase

    @cached_property
    def characters(self) -> TextCharacters:
        """The characters, as of `characters_of`."""
        return characters_of(self.texts, self._lowercase)

    @cached_property
    def statistics(self) -> np.ndarray:
        """The statistics `(N, 31)`, as of `text_statistics`."""
        return text_statistics(self.texts)


class TextPortions:
    """Texts in portions, each time that they are iterated over.

    A single portion remains in memory, with what was computed of it. Several portions are read again each time, because
    the characters of all texts take much memory.

    Args:
        texts: the texts.
        lowercase: whether characters are those in lower case.
    """

    def __init__(self, texts: Texts, lowercase: bool) -> None:
        self._texts = texts
        self._lowercase = lowercase
        self._kept = list(self._read()) if texts.characters() <= _CHARACTERS else None

    def __iter__(self) -> Iterator[TextPortion]:
        return self._read() if self._kept is None else iter(self._kept)

    def _read(self) -> Iterator[TextPortion]:
        return (TextPortion(texts, self._lowercase) for texts in self._texts.portions(_CHARACTERS))

"""N-grams of characters within words as integers."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# An n-gram is encoded as an integer: 12 bits per character, counted from 1, so that five fit into an int64.
_BITS = 12
MOST_CHARACTERS = (1 << _BITS) - 1
SHORTEST_CHARACTERS, LONGEST_CHARACTERS = 3, 5

_BLANK = ord(" ")

# A word between blanks, as `str.split` divides.
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, eq=False)
class TextCharacters:
    """Characters of texts: each word is preceded and followed by one blank.

    Attributes:
        codes: code point of each character, uint32.
        lengths: number of characters of each text `(N,)`, int64.
    """

    codes: np.ndarray
    lengths: np.ndarray

    def ngrams(self, characters: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the text and the key of each n-gram of 3 to `longest` (at most 5) known characters.

        A blank is its first or last character only, so that an n-gram is within a word, and shows where it begins or
        ends.

        Args:
            characters: code points of the known characters, sorted.
            longest: maximum number of characters.
        """
        rows = np.repeat(np.arange(len(self.lengths)), self.lengths)
        blank = self.codes == _BLANK
        ids = _numbers_of(self.codes, characters)
        keys, known = ids, ids > 0
        found_rows, found = [rows[:0]], [keys[:0]]
        for size in range(2, min(longest, LONGEST_CHARACTERS, len(ids)) + 1):
            ends = ids[size - 1 :]
            keys = keys[:-1] | ends << _BITS * (size - 1)
            known = known[:-1] & (ends > 0)
            if size >= SHORTEST_CHARACTERS:
                # Texts begin and end with a blank, so that n-grams of two texts have a blank within them.
                known = known & ~blank[size - 2 : -1]
                found_rows.append(rows[: len(ends)][known])
                found.append(keys[known])
        return np.concatenate(found_rows), np.concatenate(found)


def _numbers_of(codes: np.ndarray, characters: np.ndarray) -> np.ndarray:
    """Return the number of each character, counted from 1 in `characters`; 0 for those that are not in it."""
    beyond = int(characters.max(initial=0)) + 1
    numbers = np.zeros(beyond + 1, np.int64)
    numbers[characters] = np.arange(1, len(characters) + 1)
    return numbers[np.minimum(codes, beyond)]


def characters_of(texts: Iterable[str], lowercase: bool) -> TextCharacters:
    """Return the characters of texts, normalized and divided at blanks."""
    padded = [f" {' '.join(normal_form(text, lowercase).split())} " for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    return TextCharacters(codes, np.array(list(map(len, padded)), np.int64))


def normal_form(text: str, lowercase: bool) -> str:
    """Return a text in Unicode's normal form NFKC, in lower case if asked for."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return plain.lower() if lowercase else plain


class CharacterCounts:
    """Numbers of occurrences of characters."""

    def __init__(self) -> None:
        self._codes = np.empty(0, np.uint32)
        self._counts = np.empty(0, np.int64)

    def add(self, text: TextCharacters) -> None:
        """Count the characters of further texts."""
        codes, counts = np.unique(text.codes, return_counts=True)
        both = np.concatenate([self._codes, codes])
        self._codes, places = np.unique(both, return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        self._counts = np.bincount(places, weights=weights, minlength=len(self._codes)).astype(np.int64)

    def known(self, least: int) -> np.ndarray:
        """Return the code points, sorted, of at most 4,095 characters, the most frequent with at least `least`."""
        kept = np.flatnonzero(self._counts >= least)
        if len(kept) > MOST_CHARACTERS:
            kept = kept[np.argsort(-self._counts[kept], kind="stable")[:MOST_CHARACTERS]]
        return np.sort(self._codes[kept])


def characters_of_keys(keys: np.ndarray, characters: np.ndarray) -> list[str]:
    """Return the n-grams of keys; a blank, which is the beginning or end of a word, is shown as `_`."""
    signs = np.array(["", *("_" if code == _BLANK else chr(code) for code in characters)], dtype=object)
    return list(map("".join, zip(*signs[_characters_in(keys).T].tolist(), strict=True)))


def are_characters(codes: np.ndarray) -> bool:
    """Return whether these are sorted code points."""
    fits = codes.ndim == 1 and codes.dtype == np.uint32 and codes.max(initial=0) <= sys.maxunicode
    return fits and bool((np.diff(codes.astype(np.int64)) > 0).all())


def has_only(keys: np.ndarray, characters: np.ndarray) -> bool:
    """Return whether the keys are n-grams of these characters."""
    return len(characters) <= MOST_CHARACTERS and int(_characters_in(keys).max(initial=0)) <= len(characters)


def _characters_in(keys: np.ndarray) -> np.ndarray:
    """Return the numbers of the characters of n-grams `(N, 5)`, padded with 0."""
    return np.stack([keys >> _BITS * place & MOST_CHARACTERS for place in range(LONGEST_CHARACTERS)], axis=1)


def character_places(
    text: str, lowercase: bool, characters: np.ndarray, longest: int
) -> list[tuple[int, tuple[tuple[int, int]]]]:
    """Return the key of each n-gram of known characters of a normalized text, and its start and end in the text."""
    plain = text.lower() if lowercase and len(text.lower()) == len(text) else text
    numbers = {int(code): number for number, code in enumerate(characters, 1)}
    found: list[tuple[int, tuple[tuple[int, int]]]] = []
    for word in _WORD.finditer(plain):
        own = [numbers.get(ord(sign), 0) for sign in f" {word.group()} "]
        for size in range(SHORTEST_CHARACTERS, min(longest, LONGEST_CHARACTERS, len(own)) + 1):
            for first in range(len(own) - size + 1):
                some = own[first : first + size]
                if all(some):
                    begin = max(word.start(), word.start() + first - 1)
                    end = min(word.end(), word.start() + first - 1 + size)
                    found.append(
                        (sum(one << _BITS * place for place, one in enumerate(some)), ((begin, end),))
                    )
    return found

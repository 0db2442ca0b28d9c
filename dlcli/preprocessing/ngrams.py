"""N-grams of words as integers, and the number of texts that contain each."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Words, single digits (most numbers occur only once), and runs of punctuation.
_WORD = re.compile(r"[^\W\d]+|\d|[^\w\s]+")

# An n-gram is encoded as an integer: 21 bits per word, counted from 1, so that three words fit into an int64.
_BITS = 21
MOST_WORDS = (1 << _BITS) - 1
LONGEST_NGRAM = 3

# Maximum number of distinct n-grams that are counted, 16 bytes each. Beyond it, the rarest are dropped.
_MOST_COUNTED = 1 << 24
_MERGED_AT = 1 << 21


@dataclass(frozen=True, eq=False)
class Words:
    """Words of texts as integers.

    Attributes:
        values: number of each word, int32; 0 for unknown words.
        lengths: number of words of each text `(N,)`, int64.
    """

    values: np.ndarray
    lengths: np.ndarray

    def rows(self) -> np.ndarray:
        """Return the text of each word, int64."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def renumbered(self, numbers: np.ndarray) -> Words:
        """Return the words renumbered by `numbers`."""
        return Words(numbers[self.values], self.lengths)

    def measured(self) -> Counter[str]:
        """Return the numbers of texts, of words, and of unknown words."""
        rows = np.bincount(self.rows()[self.values > 0], minlength=len(self.lengths))
        return Counter(
            texts=len(self.lengths),
            tokens=len(self.values),
            unknown_tokens=int((self.values == 0).sum()),
            unknown_texts=int((rows == 0).sum()),
        )

    def ngrams(self, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the text and the key of each n-gram of 1 to `longest` (at most 3) known words."""
        rows, words = self.rows(), self.values.astype(np.int64)
        keys, known = words, words > 0
        found_rows, found = [rows[known]], [keys[known]]
        for size in range(2, min(longest, LONGEST_NGRAM, len(words)) + 1):
            ends = words[size - 1 :]
            keys = keys[:-1] | ends << _BITS * (size - 1)
            known = known[:-1] & (ends > 0)
            within = known & (rows[: len(ends)] == rows[size - 1 :])
            found_rows.append(rows[: len(ends)][within])
            found.append(keys[within])
        return np.concatenate(found_rows), np.concatenate(found)


def numbered_words(texts: Iterable[str], numbers: Mapping[str, int], lowercase: bool) -> Words:
    """Return the words of texts; words that are not in `numbers` are 0, unless it numbers new words."""
    values: list[int] = []
    lengths: list[int] = []
    for text in texts:
        plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
        words = _WORD.findall(plain.lower() if lowercase else plain)
        values.extend(map(numbers.__getitem__, words))
        lengths.append(len(words))
    return Words(np.array(values, np.int32), np.array(lengths, np.int64))


def word_places(text: str, lowercase: bool) -> tuple[str, list[tuple[int, int]]]:
    """Return the text from which words are read, in its original case if that has the same length, and the
    places of words."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    lower = plain.lower() if lowercase else plain
    return (plain if len(plain) == len(lower) else lower), [match.span() for match in _WORD.finditer(lower)]


def ngram_places(
    text: str, lowercase: bool, numbers: Mapping[str, int], longest: int
) -> tuple[str, list[tuple[int, tuple[tuple[int, int], ...]]]]:
    """Return the text as `word_places` does, and the key and the places of the words of each n-gram of known words."""
    plain, places = word_places(text, lowercase)
    words = numbered_words([plain], numbers, lowercase).values.tolist()
    found: list[tuple[int, tuple[tuple[int, int], ...]]] = []
    for size in range(1, min(longest, LONGEST_NGRAM) + 1):
        for first in range(len(words) - size + 1):
            some = words[first : first + size]
            if all(some):
                key = sum(word << _BITS * place for place, word in enumerate(some))
                found.append((key, tuple(places[first : first + size])))
    return plain, found


class NewWords(dict[str, int]):
    """Mapping that numbers words from 1 in order of appearance."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self) + 1
        return number


class KnownWords(dict[str, int]):
    """Mapping of known words to numbers; other words map to 0."""

    def __missing__(self, word: str) -> int:
        return 0


@lru_cache(maxsize=2)
def known_words(lines: str) -> KnownWords:
    """Return the numbers, counted from 1, of words given one per line."""
    return KnownWords((word, number) for number, word in enumerate(lines.split("\n"), 1) if word)


def frequent_words(read: list[Words], words: int, least: int) -> np.ndarray:
    """Return new numbers `(words,)` of the words: 0 for those of fewer than `least` occurrences."""
    occurrences = np.zeros(words, np.int64)
    for part in read:
        occurrences += np.bincount(part.values, minlength=words)
    occurrences[0] = 0
    kept = np.flatnonzero(occurrences >= least)
    if len(kept) > MOST_WORDS:
        kept = np.sort(kept[np.argsort(-occurrences[kept], kind="stable")[:MOST_WORDS]])
    numbers = np.zeros(words, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers


class TextCounts:
    """Counts of texts that contain each n-gram."""

    def __init__(self) -> None:
        self.least = 1  # n-grams of fewer texts may have been dropped
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._held = 0

    def add(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Count the n-grams of further texts: the text and the key of each occurrence."""
        coded = pa.array(keys).dictionary_encode()
        unique, codes = coded.dictionary.to_numpy(), coded.indices.to_numpy()
        number = int(rows.max(initial=0)) + 1
        pairs = np.sort(_narrow(codes, number, rows, len(unique)))
        pairs = pairs[np.flatnonzero(np.diff(pairs, prepend=pairs[:1] + 1))]
        texts = np.bincount(pairs // number, minlength=len(unique))
        order = np.argsort(unique)
        unique, texts = unique[order], texts[order]
        self._parts.append((unique, texts))
        self._held += len(unique)
        if self._held > _MERGED_AT and self._held > 2 * len(self._parts[0][0]):
            self._merge()

    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys, sorted, and the number of texts of each."""
        self._merge()
        return self._parts[0] if self._parts else (np.empty(0, np.int64), np.empty(0, np.int64))

    def found(self, least: int) -> int:
        """Return the number of n-grams of at least that many texts."""
        return int((self.counted()[1] >= max(least, self.least)).sum())

    def _merge(self) -> None:
        if len(self._parts) > 1:
            keys = np.concatenate([keys for keys, _ in self._parts])
            order = np.argsort(keys, kind="stable")
            starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
            texts = _sums_from(starts, np.concatenate([texts for _, texts in self._parts])[order])
            self._parts = [(keys[order[starts]], texts)]
        while self._parts and len(self._parts[0][0]) > _MOST_COUNTED:
            # As in lossy counting (Manku and Motwani, 2002): dropped n-grams are counted from 0 again.
            keys, texts = self._parts[0]
            self.least += 1
            self._parts = [(keys[texts >= self.least], texts[texts >= self.least])]
        self._held = len(self._parts[0][0]) if self._parts else 0


def known_ngrams(keys: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which n-grams of `some` are among the keys, bool, and the place of each of these.

    A hash table takes a sixth of the time of searching among sorted keys.
    """
    places = pc.index_in(pa.array(some), value_set=pa.array(keys))
    known = places.is_valid().to_numpy(zero_copy_only=False)
    return known, places.drop_null().to_numpy()


def counted_pairs(
    rows: np.ndarray, places: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each pair of a row and a place below `number` once, in order, and its number of occurrences."""
    number = max(1, number)
    pairs, counts = np.unique(_narrow(rows, number, places, int(rows.max(initial=0)) + 1), return_counts=True)
    first, second = np.divmod(pairs, number)
    return first.astype(np.int64), second.astype(np.int64), counts


def weighted_ngrams(
    rows: np.ndarray, keys: np.ndarray, own: np.ndarray, weights: np.ndarray, number: int, sublinear: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return text, place in `own` and weight of the n-grams of texts, with norm 1 in each text, by text and place.

    Args:
        rows: text of each occurrence.
        keys: its n-gram.
        own: the known n-grams, sorted.
        weights: the weight of each of them.
        number: number of texts.
        sublinear: weigh by `1 + ln` of the occurrences instead of their number.
    """
    known, places = known_ngrams(own, keys)
    rows, places, counts = counted_pairs(rows[known], places, len(own))
    found = (1 + np.log(counts) if sublinear else counts) * weights[places]
    norms = np.sqrt(np.bincount(rows, weights=found**2, minlength=number))
    return rows, places, found / norms[rows]


def inverse_frequencies(number: np.ndarray, texts: int) -> np.ndarray:
    """Return the weights of n-grams that occur in `number` of the texts."""
    return 1 + np.log((1 + texts) / (1 + number))


def are_sorted(keys: np.ndarray, weights: np.ndarray) -> bool:
    """Return whether keys are integers in increasing order, each with a weight."""
    fits = keys.ndim == 1 and keys.shape == weights.shape and keys.dtype == np.int64
    return fits and bool((np.diff(keys) > 0).all())


def _narrow(first: np.ndarray, number: int, second: np.ndarray, firsts: int) -> np.ndarray:
    """Return `first * number + second` as 32-bit integers, which are sorted in half the time, if these suffice.

    Args:
        first: integers below `firsts`.
        number: number of possible values of `second`.
        second: integers below `number`.
        firsts: number of possible values of `first`.
    """
    if firsts * number < 1 << 32:
        return first.astype(np.uint32) * np.uint32(number) + second.astype(np.uint32)
    return first.astype(np.int64) * number + second


def _sums_from(starts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sums of consecutive values from each start to the next one."""
    return np.add.reduceat(values, starts, dtype=np.int64) if len(starts) else np.empty(0, np.int64)


def words_of(keys: np.ndarray) -> np.ndarray:
    """Return the words of n-grams `(N, 3)`, padded with 0."""
    return np.stack([keys >> _BITS * place & MOST_WORDS for place in range(LONGEST_NGRAM)], axis=1)


def ngram_key(words: np.ndarray) -> np.ndarray:
    """Return the n-grams of words `(N, 3)`."""
    return sum(
        (words[:, place] << _BITS * place for place in range(LONGEST_NGRAM)), np.zeros(len(words), np.int64)
    )

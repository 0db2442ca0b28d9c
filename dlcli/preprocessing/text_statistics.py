"""Statistics of texts beside their n-grams: lengths, digits, capitals and punctuation."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from enum import IntEnum

import numpy as np

# Symbols whose numbers are statistics of their own.
SYMBOLS = "!?@%$£*&#.:,;/-'\"()"

# Names of the statistics, in the order of `text_statistics`; in angle brackets, which no n-gram of words has alone.
STATISTICS = (
    "<characters>",
    "<words>",
    "<characters per word>",
    "<share of digits>",
    "<share of capitals>",
    "<share of punctuation>",
    "<digits>",
    "<capitals>",
    "<punctuation>",
    "<longest run of digits>",
    "<longest run of capitals>",
    "<share of words in capitals>",
    *(f"<number of {sign}>" for sign in SYMBOLS),
)

# Number of standard deviations at which a statistic is cut, so that a single one cannot outweigh the n-grams.
_FARTHEST = 5.0

# Variance below which a statistic is constant.
_LEAST_VARIANCE = 1e-9


class _Kind(IntEnum):
    """Kinds of characters; each of the symbols has a further one."""

    OTHER = 0
    SMALL = 1
    CAPITAL = 2
    DIGIT = 3
    BLANK = 4
    PUNCTUATION = 5
    SYMBOL = 6


_KINDS = _Kind.SYMBOL + len(SYMBOLS)


def text_statistics(texts: list[str]) -> np.ndarray:
    """Return the statistics of texts `(N, 31)`, float64: shares, and logarithms of 1 + numbers and lengths.

    Words are divided by blanks. Punctuation includes symbols; digits are decimal ones.
    """
    size = np.array(list(map(len, texts)), np.int64)
    # A blank after each text ends its last word and run.
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    rows = np.repeat(np.arange(len(texts)), size + 1)
    kinds = _kinds_of(codes)
    cells = np.bincount(rows * _KINDS + kinds, minlength=len(texts) * _KINDS).reshape(-1, _KINDS)
    digits, capitals = cells[:, _Kind.DIGIT], cells[:, _Kind.CAPITAL]
    punctuation = cells[:, _Kind.PUNCTUATION :].sum(axis=1)

    of_words = np.flatnonzero(kinds != _Kind.BLANK)
    firsts = np.flatnonzero(np.diff(of_words, prepend=-2) > 1)
    own, in_words = rows[of_words[firsts]], kinds[of_words]
    shouted = np.diff(firsts, append=len(of_words)) > 1
    if len(firsts):
        shouted &= np.logical_or.reduceat(in_words == _Kind.CAPITAL, firsts)
        shouted &= ~np.logical_or.reduceat(in_words == _Kind.SMALL, firsts)
    words = np.bincount(own, minlength=len(texts))
    in_capitals = np.bincount(own, weights=shouted, minlength=len(texts))

    signs, some = np.maximum(size, 1), np.maximum(words, 1)
    numbers = [size, words, (size + 1 - cells[:, _Kind.BLANK]) / some]
    shares = [digits / signs, capitals / signs, punctuation / signs]
    runs = [_longest_runs(kinds == kind, rows, len(texts)) for kind in (_Kind.DIGIT, _Kind.CAPITAL)]
    return np.column_stack(
        [
            np.log1p(np.column_stack(numbers)),
            *shares,
            np.log1p(np.column_stack([digits, capitals, punctuation, *runs])),
            in_capitals / some,
            np.log1p(cells[:, _Kind.SYMBOL :]),
        ]
    )


def fitted_statistics(portions: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each statistic, and its factor: 1 / standard deviation, or 0 if it is constant.

    Args:
        portions: statistics of some texts `(N, 31)`, as of `text_statistics`.
    """
    number, sums = 0, np.zeros((2, len(STATISTICS)))
    for values in portions:
        number += len(values)
        sums += np.stack([values.sum(axis=0), (values**2).sum(axis=0)])
    means, squares = sums / max(1, number)
    variances = squares - means**2
    factors = np.zeros_like(means)
    np.divide(1, np.sqrt(np.maximum(variances, 0)), out=factors, where=variances > _LEAST_VARIANCE)
    return means, factors


def standardized(values: np.ndarray, means: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return statistics with mean 0 and standard deviation 1 on training texts, cut at 5 standard deviations."""
    return ((values - means) * factors).clip(-_FARTHEST, _FARTHEST)


def are_fitted(means: np.ndarray, factors: np.ndarray) -> bool:
    """Return whether these are the means and factors of all statistics, or of none."""
    return all(
        found.shape in ((len(STATISTICS),), (0,))
        and found.dtype == np.float64
        and bool(np.isfinite(found).all())
        for found in (means, factors)
    ) and len(means) == len(factors)


def _kind_of(sign: str) -> int:
    if sign in SYMBOLS:
        return _Kind.SYMBOL + SYMBOLS.index(sign)
    if sign.isspace():
        return _Kind.BLANK
    if sign.isdecimal():
        return _Kind.DIGIT
    if sign.isupper():
        return _Kind.CAPITAL
    if sign.islower() or sign.istitle():
        return _Kind.SMALL
    return _Kind.PUNCTUATION if unicodedata.category(sign)[0] in "PS" else _Kind.OTHER


_OF_ASCII = np.array([_kind_of(chr(code)) for code in range(128)], np.uint8)


def _kinds_of(codes: np.ndarray) -> np.ndarray:
    """Return the kind of each code point."""
    kinds = _OF_ASCII[np.minimum(codes, 127)]
    others = np.flatnonzero(codes > 127)
    if len(others):
        distinct, places = np.unique(codes[others], return_inverse=True)
        kinds[others] = np.array([_kind_of(chr(code)) for code in distinct], np.uint8)[places]
    return kinds


def _longest_runs(are: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
    """Return the length of the longest run of marked characters in each text."""
    places = np.flatnonzero(are)
    firsts = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    longest = np.zeros(number, np.int64)
    np.maximum.at(longest, rows[places[firsts]], np.diff(firsts, append=len(places)))
    return longest

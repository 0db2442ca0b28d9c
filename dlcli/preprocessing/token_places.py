"""Positions of tokens in a text, by which results for tokens can be shown for words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

# A word, a Chinese or Japanese character (written without blanks), or a run of punctuation.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SHOWN_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]+")


@dataclass(frozen=True)
class TokenPlaces:
    """Tokens of a text in the order in which the model reads them; for a bag, each occurrence of its tokens.

    Attributes:
        text: The text to which the places refer, possibly normalized.
        numbers: The index of each token.
        places: Start and end of the characters of each token; none for special tokens, several for an n-gram.
        names: Names of tokens without places that are properties of the whole text, such as its length, by index.
    """

    text: str
    numbers: tuple[int, ...]
    places: tuple[tuple[tuple[int, int], ...], ...]
    names: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class LocatesTokens(Protocol):
    """Preprocessing that provides the positions of tokens."""

    def token_places(self, text: str) -> TokenPlaces:
        """Return the tokens of a text that the model reads, with their positions."""


def places_of(tokenizer: Any, text: str, length: int | None) -> TokenPlaces:
    """Return the places of a tokenizer's tokens, cut at `length`."""
    found = tokenizer.encode(text)
    numbers, offsets = found.ids[:length], found.offsets[:length]
    return TokenPlaces(
        text, tuple(numbers), tuple(((begin, end),) if end > begin else () for begin, end in offsets)
    )


def by_word(found: TokenPlaces, values: Sequence[float]) -> list[tuple[str, float]]:
    """Return the words of a text and the text between them, each with the sum of the values of its tokens.

    A token's value is divided equally among its places, and within one by characters.

    Args:
        found: The tokens.
        values: A value for each of them.
    """
    density = np.zeros(len(found.text))
    for value, places in zip(values, found.places, strict=True):
        for begin, end in places:
            density[begin:end] += value / len(places) / (end - begin)
    parts: list[tuple[str, float]] = []
    last = 0
    for match in _SHOWN_WORD.finditer(found.text):
        begin, end = match.span()
        if begin > last:
            parts.append((found.text[last:begin], float(density[last:begin].sum())))
        parts.append((match.group(), float(density[begin:end].sum())))
        last = end
    if last < len(found.text):
        parts.append((found.text[last:], float(density[last:].sum())))
    return parts

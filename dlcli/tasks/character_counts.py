"""Baselines of language models: characters predicted by how often they, or pairs of them, occur in training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcli.datasets.passages import Passages, code_points, text_of

# Numbers of pairs of characters: the place of the first and of the second in the alphabet, and the number.
PairCounts = Sequence[Sequence[int]]

# More different pairs than these, of texts such as Chinese ones, would make the model's description large.
_MOST_PAIRS = 50_000

# The weight of a character's own frequency in that of pairs, in numbers of occurrences of the first character.
_WEIGHT = 5.0


def character_facts(rows: Passages) -> dict[str, Any]:
    """Return the characters of the training rows, the number of each, and the numbers of pairs, in plain types."""
    codes = rows.flat()
    alphabet, counts = np.unique(codes, return_counts=True)
    return {
        "characters": text_of(alphabet),
        "character_counts": counts.tolist(),
        "pair_counts": _pairs(rows, codes, alphabet),
    }


def _pairs(rows: Passages, codes: np.ndarray, alphabet: np.ndarray) -> list[list[int]] | None:
    """Return the numbers of pairs, of which the first character may precede the row; None if there are too many."""
    firsts = _places(_before(rows, codes), alphabet)
    keys = firsts * (len(alphabet) + 1) + _places(codes, alphabet)
    pairs, counts = np.unique(keys, return_counts=True)
    if len(pairs) > _MOST_PAIRS:
        return None
    first, second = np.divmod(pairs, len(alphabet) + 1)
    return np.stack([first, second, counts], axis=1).tolist()


def unigram_losses(rows: Passages, characters: str, counts: np.ndarray) -> np.ndarray:
    """Return the sum of losses of each row `(N,)`, in nats.

    One is added to the number of each character, and of a further one that stands for all others.
    """
    return _sums(rows, _unigram(counts)[_places(rows.flat(), code_points(characters))])


def bigram_losses(rows: Passages, characters: str, counts: np.ndarray, pairs: PairCounts) -> np.ndarray:
    """Return the sum of losses of each row `(N,)`, in nats, if the character before is known.

    The frequency of a pair is mixed with that of its second character (Witten-Bell smoothing with a fixed weight).
    """
    alphabet, codes = code_points(characters), rows.flat()
    first, second = _places(_before(rows, codes), alphabet), _places(codes, alphabet)
    size = len(alphabet) + 1
    known = np.asarray(pairs, np.int64).reshape(-1, 3)
    keys, numbers = known[:, 0] * size + known[:, 1], known[:, 2]
    totals = np.bincount(known[:, 0], numbers, size)
    wanted = first * size + second
    place = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    found = np.where(keys[place] == wanted, numbers[place], 0) if len(keys) else np.zeros(len(wanted))
    share = np.exp(-_unigram(counts)[second])
    return _sums(rows, -np.log((found + _WEIGHT * share) / (totals[first] + _WEIGHT)))


def _unigram(counts: np.ndarray) -> np.ndarray:
    smoothed = np.append(counts, 0) + 1.0
    return -np.log(smoothed / smoothed.sum())


def _before(rows: Passages, codes: np.ndarray) -> np.ndarray:
    """Return the character before each character of the rows."""
    lengths = rows.characters
    before = np.roll(codes, 1)
    before[(lengths.cumsum() - lengths)[lengths > 0]] = rows.before()[lengths > 0]
    return before


def _places(codes: np.ndarray, alphabet: np.ndarray) -> np.ndarray:
    """Return the places of characters in an alphabet; its size for one that it lacks."""
    found = np.searchsorted(alphabet, codes)
    known = alphabet[np.minimum(found, len(alphabet) - 1)] == codes
    return np.where(known, found, len(alphabet))


def _sums(rows: Passages, losses: np.ndarray) -> np.ndarray:
    ends = np.concatenate([[0.0], np.cumsum(losses, dtype=np.float64)])
    last = rows.characters.cumsum()
    return ends[last] - ends[last - rows.characters]

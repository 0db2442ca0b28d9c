"""Baselines of language models: characters predicted by frequencies of characters and pairs in the training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.datasets.passages import Passages, code_points, places_in

# Counts of pairs of characters: index of the first and of the second in the alphabet, and the count.
PairCounts = Sequence[Sequence[int]]

# Weight of a character's own frequency in that of pairs, in occurrences of the first character.
_WEIGHT = 5.0


def unigram_losses(rows: Passages, characters: str, counts: np.ndarray) -> np.ndarray:
    """Return the sum of losses of each row `(N,)`, in nats.

    One is added to the count of each character, and to that of an additional one for all unknown characters.
    """
    return _sums(rows, _unigram(counts)[places_in(rows.flat(), code_points(characters))])


def bigram_losses(rows: Passages, characters: str, counts: np.ndarray, pairs: PairCounts) -> np.ndarray:
    """Return the sum of losses of each row `(N,)`, in nats, given the preceding character.

    The frequency of a pair is mixed with that of its second character (Witten-Bell smoothing with a fixed weight).
    """
    alphabet, codes = code_points(characters), rows.flat()
    first, second = places_in(rows.before_each(), alphabet), places_in(codes, alphabet)
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


def _sums(rows: Passages, losses: np.ndarray) -> np.ndarray:
    ends = np.concatenate([[0.0], np.cumsum(losses, dtype=np.float64)])
    last = rows.characters.cumsum()
    return ends[last] - ends[last - rows.characters]

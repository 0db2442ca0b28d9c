"""Edit distance of sequences (Levenshtein, 1966), for many pairs at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def edit_distances(first: Sequence[Sequence[Hashable]], second: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Return for each pair the smallest number of items to insert, delete or replace that makes them equal, `(N,)`.

    Args:
        first: N sequences, such as strings (of characters) or lists of words.
        second: N sequences to compare them with.
    """
    codes: dict[Hashable, int] = {}
    mine, lengths = _padded(first, codes)
    other, others = _padded(second, codes)
    steps = np.arange(other.shape[1] + 1)
    row = np.broadcast_to(steps, (len(mine), len(steps))).copy()
    found = np.where(lengths == 0, others, 0)
    for place in range(mine.shape[1]):
        replaced = row[:, :-1] + (mine[:, place : place + 1] != other)
        best = np.concatenate([row[:, :1] + 1, np.minimum(replaced, row[:, 1:] + 1)], axis=1)
        # Insertions: the minimum over earlier places plus the distance from them.
        row = np.minimum.accumulate(best - steps, axis=1) + steps
        ends = lengths == place + 1
        found[ends] = row[ends, others[ends]]
    return found


def _padded(rows: Sequence[Sequence[Hashable]], codes: dict[Hashable, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of each row as numbers `(N, L)`, with -1 after its end, and the lengths `(N,)`."""
    lengths = np.array([len(row) for row in rows], np.int64)
    found = np.full((len(rows), int(lengths.max(initial=0))), -1, np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = [codes.setdefault(item, len(codes)) for item in row]
    return found, lengths

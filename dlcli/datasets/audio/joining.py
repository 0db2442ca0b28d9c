"""Joining recordings of words to recordings of several words, such as digits to strings of digits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dlcli.datasets.audio.recordings import Recordings


@dataclass(frozen=True, eq=False)
class Joined:
    """A row of joined recordings.

    Attributes:
        members: numbers of the recordings, in their order.
        pauses: samples of silence before each of them; the first has none.
        block: number of its block: rows of different blocks have no recording in common.
    """

    members: np.ndarray
    pauses: np.ndarray
    block: int


def join(
    pools: Sequence[str], count: tuple[int, int], repeats: int, block: int, pause: int, seed: int
) -> Iterator[Joined]:
    """Yield rows of joined recordings, which depend on the seed, the pools' names and their sizes only.

    The recordings of a pool are divided at random into blocks. Each block is shuffled `repeats` times, and cut into
    rows of between `count[0]` and `count[1]` recordings, so that every recording is in `repeats` rows.

    Args:
        pools: name of the pool of each recording; only recordings of one pool are joined.
        count: smallest and largest number of recordings of a row; a pool with fewer makes one shorter row.
        repeats: number of rows that each recording is in.
        block: number of recordings of a block; with one repetition, every row is a block of its own.
        pause: maximum number of samples of silence between two recordings, drawn uniformly.
        seed: seed of the random numbers.
    """
    names = np.asarray(pools)
    number = 0
    for pool in sorted(set(pools)):
        random = np.random.default_rng([seed, zlib.crc32(pool.encode())])
        own = random.permutation(np.flatnonzero(names == pool))
        for part in np.array_split(own, max(1, len(own) // block)):
            for _ in range(repeats):
                shuffled = random.permutation(part)
                for members in np.split(shuffled, _sizes(len(part), count, random).cumsum()[:-1]):
                    pauses = random.integers(0, pause + 1, len(members))
                    pauses[0] = 0
                    yield Joined(members, pauses, number)
                    number += repeats == 1
            number += repeats > 1


def _sizes(total: int, count: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return numbers between the bounds that add up to `total`, as far as there are such numbers."""
    low, high = count
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(int(random.integers(low, high + 1)))
    excess = sum(sizes) - total
    while excess and max(sizes) > low:
        place = int(random.choice([place for place, size in enumerate(sizes) if size > low]))
        sizes[place] -= 1
        excess -= 1
    if excess:  # no room above the smallest number: one row less, whose recordings the others take
        rest = low - excess
        sizes.pop()
        if not sizes:
            return np.array([rest])
        for place in range(rest):
            sizes[place % len(sizes)] += 1
    return np.array(sizes)


def waveforms(x: Recordings, rows: Sequence[Joined]) -> Recordings:
    """Return the joined recordings, with silence between them."""
    waves = list(x)
    return Recordings.of(
        [
            np.concatenate(
                [
                    piece
                    for member, pause in zip(row.members, row.pauses, strict=True)
                    for piece in (np.zeros(pause, np.int16), waves[member])
                ]
            )
            for row in rows
        ],
        x.rate,
    )

"""The number of distinct values of a column; of a large one in a few passes that stay within the processor's caches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

# Number of values from which on pandas does not count them.
_MANY = 100_000

# Number of values, evenly spread, of which at most this number is distinct in a column that pandas counts: its table of
# few values fits into the caches.
_SOME, _FEW = 10_000, 1_250

# Maximum number of values that are placed in buckets at a time, which takes 16 bytes for each.
_AT_ONCE = 1 << 23

# Mean number of values of a bucket as a power of 2, whose slots fit into the second-level cache.
_IN_BUCKET = 14

# Number of values that are hashed at a time.
_BLOCK = 1 << 14

# The highest bits of a product with it depend on all bits of the other factor (Knuth's multiplicative hashing).
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

# The factor by which parts are chosen; that of buckets would leave most buckets of a part empty.
_OTHER = np.uint64(0xC2B2AE3D27D4EB4F)


def count_distinct(known: pd.Series) -> int:
    """Return the number of distinct values of a column without missing values."""
    values = known.to_numpy()
    if values.dtype.kind not in "iufM" or values.dtype.itemsize < 4 or len(values) < _MANY:
        return int(known.nunique())
    if len(np.unique(values[:: max(1, len(values) // _SOME)])) <= _FEW:
        return int(known.nunique())
    if values.dtype.kind == "f":
        values = values + 0.0  # -0 is 0
    words = values.view(f"u{values.dtype.itemsize}").astype(np.uint64, copy=False)
    if len(words) > _AT_ONCE:
        # Equal values would be in the same part below, so that a part of repeated values could be as large as all.
        pieces = (words[first : first + _AT_ONCE] for first in range(0, len(words), _AT_ONCE))
        words = np.concatenate([found for piece in pieces for found in _distinct(piece)])
    return sum(len(found) for part in _parts(words) for found in _distinct(part))


def _parts(words: np.ndarray) -> Iterator[np.ndarray]:
    """Yield parts of about `_AT_ONCE` words at most; equal words are in the same part."""
    bits = max(0, len(words) - 1).bit_length() - _AT_ONCE.bit_length() + 1
    if bits <= 0:
        yield words
        return
    for part in range(1 << bits):
        blocks = (words[first : first + _BLOCK] for first in range(0, len(words), _BLOCK))
        yield np.concatenate([block[_highest_bits(block * _OTHER, bits) == part] for block in blocks])


def _distinct(words: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the distinct ones among 64-bit words in arrays, each of one bucket."""
    bits = (len(words) >> _IN_BUCKET).bit_length()
    buckets = np.empty(len(words), np.int32)
    for first in range(0, len(words), _BLOCK):
        buckets[first : first + _BLOCK] = _highest_bits(words[first : first + _BLOCK] * _FACTOR, bits)
    # A row of a sparse matrix is ordered by its columns, without any comparison of them.
    row = csr_array((words, buckets, np.array([0, len(words)], np.int32)), shape=(1, 1 << bits))
    ordered = row.tocsc()
    del row, buckets
    ends = ordered.indptr.tolist()
    most = int(np.diff(ordered.indptr).max())
    every, slots_of_all = np.arange(most, dtype=np.int32), np.empty(1 << most.bit_length() + 1, np.int32)
    for first, last in pairwise(ends):
        some, numbers = ordered.data[first:last], every[: last - first]
        size = len(some).bit_length() + 1
        # Each word has a slot, which holds the number of one of its words. Those that find another one are sorted.
        slots = _highest_bits((some * _FACTOR) << np.uint64(bits), size)
        held = slots_of_all[: 1 << size]
        held[slots] = numbers
        holders = held[slots]
        others = np.flatnonzero(holders != numbers)
        if len(others):
            words = some[others]
            rest = np.sort(words[some[holders[others]] != words])
            yield some[holders == numbers]
            yield rest[np.diff(rest, prepend=~rest[:1]) != 0]
        else:
            yield some


def _highest_bits(words: np.ndarray, bits: int) -> np.ndarray:
    """Return the highest bits of 64-bit words as integers; all are 0 for no bits."""
    return (words >> np.uint64(1) >> np.uint64(63 - bits)).view(np.int64)

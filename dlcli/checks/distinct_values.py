"""The number of distinct values of a column; those of a large one are counted in parts that fit into the caches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

# Number of values from which on pandas does not count all of them at once.
_MANY = 100_000

# Number of values, evenly spread, of which at most this number is distinct in a column that pandas counts at once: its
# table of few values fits into the caches.
_SOME, _FEW = 10_000, 1_250

# Mean number of values of a bucket as a power of 2, whose table fits into the second-level cache.
_IN_BUCKET = 14

# Number of values that are hashed at a time.
_BLOCK = 1 << 14

# The highest bits of a product with it depend on all bits of the other factor (Knuth's multiplicative hashing).
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def count_distinct(known: pd.Series) -> int:
    """Return the number of distinct values of a column without missing values."""
    values = known.to_numpy()
    if values.dtype.kind not in "iufM" or values.dtype.itemsize < 4 or len(values) < _MANY:
        return int(known.nunique())
    if len(np.unique(values[:: max(1, len(values) // _SOME)])) <= _FEW:
        return int(known.nunique())
    zeros = values[values == 0] if values.dtype.kind == "f" else values[:0]
    negative = int(np.count_nonzero(np.signbit(zeros))) if len(zeros) else 0
    words = values.view(f"i{values.dtype.itemsize}")
    # Equal words are in the same bucket.
    bits = (len(words) >> _IN_BUCKET).bit_length()
    buckets = np.empty(len(words), np.int32)
    for first in range(0, len(words), _BLOCK):
        hashed = words[first : first + _BLOCK].astype(np.uint64) * _FACTOR
        buckets[first : first + _BLOCK] = hashed >> np.uint64(1) >> np.uint64(63 - bits)
    # A row of a sparse matrix is ordered by its columns, without any comparison of them.
    ends = np.array([0, len(words)], np.int32 if len(words) <= np.iinfo(np.int32).max else np.int64)
    ordered = csr_array((words, buckets, ends), shape=(1, 1 << bits)).tocsc()
    del buckets
    parts = (ordered.data[first:last] for first, last in pairwise(ordered.indptr.tolist()))
    return sum(len(pd.unique(part)) for part in parts) - (0 < negative < len(zeros))  # 0.0 and -0.0 are equal

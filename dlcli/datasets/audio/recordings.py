"""`Recordings`: waveforms of unequal length, stored contiguously."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from dlcli.datasets.ragged_rows import one_length

# Full scale of a sample: a waveform from -1 to 1 is stored as 16-bit integers.
FULL_SCALE = 32_768


@dataclass(frozen=True, eq=False)
class Recordings:
    """Waveforms; row i is `values[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        values: samples of all rows `(S,)`, 16-bit integers.
        starts: first sample of each row `(N,)`.
        lengths: number of samples of each row `(N,)`.
        rate: samples per second.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    rate: int

    @classmethod
    def of(cls, waves: Sequence[np.ndarray], rate: int) -> Self:
        """Return recordings that consist of waveforms `(L,)` of 16-bit integers."""
        lengths = np.array([len(wave) for wave in waves], dtype=np.int64)
        values = np.concatenate([*waves, np.empty(0, np.int16)])
        return cls(values, lengths.cumsum() - lengths, lengths, rate)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> Self:
        return replace(self, starts=self.starts[rows], lengths=self.lengths[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over the waveforms `(L,)`."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield self.values[start : start + length]

    @property
    def shape(self) -> tuple[int, int]:
        """`(N, L)`; L is 0 if lengths differ."""
        return len(self), one_length(self.lengths)

    @property
    def seconds(self) -> np.ndarray:
        """Length of each row in seconds `(N,)`."""
        return self.lengths / self.rate

    def flat(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the concatenated rows, cut to `most` samples each, and their lengths `(N,)`."""
        lengths = np.minimum(self.lengths, most)
        within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        return self.values[np.repeat(self.starts, lengths) + within], lengths

    def pieces(self) -> tuple[Any, ...]:
        """Return the values that the fingerprint is computed from."""
        return self.values, self.starts, self.lengths, (self.rate,)


def as_samples(wave: np.ndarray) -> np.ndarray:
    """Return values from -1 to 1 as 16-bit integers; values beyond are clipped."""
    return np.clip(np.round(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)

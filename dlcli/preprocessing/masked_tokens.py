"""Masked tokens of texts: which are hidden from a masked language model, and what it reads in their place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from dlcli.preprocessing.language import NO_TARGET
from dlcli.preprocessing.ragged import Ragged

# Of the masked tokens, the shares that become the mask token, and another token; the rest stays (Devlin et al., 2019).
_MASK, _OTHER = 0.8, 0.1

# Constants of splitmix64 (Steele et al., 2014), whose numbers depend on nothing but what they are computed from.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))

Part = Literal["x", "places", "masked_tokens"]


@dataclass(frozen=True, eq=False)
class Masking:
    """Rows of tokens, and how they are masked.

    Attributes:
        tokens: the tokens of all rows, concatenated, int64.
        lengths: number of tokens of each row `(N,)`, int64.
        ordinary: whether each token can be masked, as special tokens cannot.
        share: share of the ordinary tokens of a row that are masked, at least one.
        mask: the mask token.
        others: tokens that can replace a masked one.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    ordinary: np.ndarray
    share: float
    mask: int
    others: np.ndarray

    def drawn(self, seed: int | None) -> dict[Part, Ragged]:
        """Return the tokens that are read, and places and true values of the masked ones.

        Seed and tokens of a row determine what is masked in it, so that it is the same in any batch, file or order.
        """
        return _drawn(self, seed)

    def fields(self) -> dict[str, MaskedField]:
        """Return the fields of the rows, which draw anew in each epoch of training."""
        parts: tuple[Part, ...] = ("x", "places", "masked_tokens")
        return {part: MaskedField(self, part) for part in parts}


class MaskedField(Ragged):
    """One of the fields of masked rows, see `Masking.drawn`."""

    def __init__(self, masking: Masking, part: Part, device: torch.device | str = "cpu") -> None:
        found = masking.drawn(None)[part]
        super().__init__(found.values.to(device), found.lengths, found.padding)
        self._masking = masking
        self._part = part

    def drawn(self, seed: int) -> Ragged:
        """Return the values of an epoch."""
        return self._masking.drawn(seed)[self._part].to(self.device)

    def to(self, device: torch.device) -> MaskedField:
        """Return the same rows on a device."""
        return MaskedField(self._masking, self._part, device)


@lru_cache(maxsize=2)  # the fields of an epoch ask for it one after the other
def _drawn(rows: Masking, seed: int | None) -> dict[Part, Ragged]:
    begins = rows.lengths.cumsum() - rows.lengths
    row = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
    place = np.arange(len(rows.tokens)) - begins[row]
    marks = _random(rows.tokens.astype(np.uint64) + _STEP * place.astype(np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(marks, dtype=np.uint64)])
    of_row = sums[begins + rows.lengths] - sums[begins]
    if seed is not None:
        of_row = _random(of_row ^ _random(np.array([seed], np.uint64)))
    order, kind, other = (
        _random(_random(of_row)[row] + _STEP * (3 * place + stream).astype(np.uint64)) for stream in range(3)
    )
    number = np.bincount(row[rows.ordinary], minlength=len(rows.lengths))
    number = np.where(number > 0, np.maximum(1, np.round(rows.share * number)), 0).astype(np.int64)
    # Ordinary tokens first, in random order; of each row, the first ones are masked.
    sorted_ = np.lexsort((order, ~rows.ordinary, row))
    chosen = np.sort(sorted_[place < number[row]])
    share = _shares(kind[chosen])
    replaced = rows.others[(_shares(other[chosen]) * len(rows.others)).astype(np.int64)]
    true = rows.tokens[chosen]
    read = rows.tokens.copy()
    read[chosen] = np.where(share < _MASK, rows.mask, np.where(share < _MASK + _OTHER, replaced, true))
    lengths, numbers = torch.from_numpy(rows.lengths), torch.from_numpy(number)
    return {
        "x": Ragged(torch.from_numpy(read), lengths),
        "places": Ragged(torch.from_numpy(place[chosen]), numbers, NO_TARGET),
        "masked_tokens": Ragged(torch.from_numpy(true), numbers, NO_TARGET),
    }


def _random(values: np.ndarray) -> np.ndarray:
    """Return splitmix64 of uint64 values."""
    found = values + _STEP
    for shift, factor in _MIX:
        found = (found ^ (found >> np.uint64(shift))) * factor
    return found ^ (found >> np.uint64(31))


def _shares(values: np.ndarray) -> np.ndarray:
    """Return uint64 values as numbers from 0 to below 1."""
    return (values >> np.uint64(11)).astype(np.float64) / 2**53

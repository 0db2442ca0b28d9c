"""Batches with a limited number of tokens instead of a fixed number of rows."""

from __future__ import annotations

from itertools import accumulate, pairwise

import torch
from torch import Tensor

from dlcli.formatting import counted

Bounds = list[tuple[int, int]]


class TokenBatches:
    """Division of rows, sorted by length, into batches of at most `tokens` tokens including padding.

    The size of a batch is its number of rows times its longest sequence, a source or a target, as with `--max-tokens`
    of fairseq (Ott et al., 2019). The number of batches is the same in each epoch. Rows of equal length are exchanged
    among their batches, and the batches are shuffled.

    Args:
        lengths: number of tokens of each row `(N,)`.
        targets: number of tokens of each row's target `(N,)`, if targets are sequences that are padded too.
        tokens: maximum size of a batch. A longer row is a batch of its own.
        fewest: minimum number of rows of a batch, which takes precedence.
    """

    def __init__(self, lengths: Tensor, targets: Tensor | None, tokens: int, fewest: int = 1) -> None:
        longest = lengths if targets is None else torch.maximum(lengths, targets)
        base = int(longest.max()) + 1 if len(longest) else 1
        self._keys = longest * base + lengths
        if targets is not None:
            self._keys = self._keys * base + targets
        self.tokens = tokens
        sizes = longest.sort().values.tolist()
        self._bounds = _divided(sizes, tokens, max(fewest, 1))
        self._sizes = [(end - first) * sizes[end - 1] for first, end in self._bounds]
        self._used = sum(sizes)

    def __len__(self) -> int:
        return len(self._bounds)

    def longest_first(self) -> tuple[Tensor, list[int]]:
        """Return the order of the rows, in which the longest come first, and the end of each batch in it."""
        order, bounds = self._keys.argsort(stable=True), self._bounds[::-1]
        return order.flip(0), list(accumulate(end - first for first, end in bounds))

    def shuffled(self, generator: torch.Generator) -> tuple[Tensor, list[int]]:
        """Return the order of the rows in an epoch, and the end of each batch in it."""
        rows = torch.randperm(len(self._keys), generator=generator)
        rows = rows[self._keys[rows].argsort(stable=True)]
        bounds = [self._bounds[batch] for batch in torch.randperm(len(self), generator=generator).tolist()]
        parts = [rows[first:end] for first, end in bounds]
        return torch.cat(parts) if parts else rows, list(accumulate(len(part) for part in parts))

    def described(self) -> str:
        """Return a description such as `310 of at most 4,096 tokens (12 to 409 rows; 3% padding)`."""
        numbers = [end - first for first, end in self._bounds]
        long = sum(size > self.tokens for size in self._sizes)
        beyond = (
            f", {long:,} larger because of {'a longer row' if long == 1 else 'longer rows'}" if long else ""
        )
        rows = f"{min(numbers):,} to {counted(max(numbers), 'row')}"
        padding = 1 - self._used / sum(self._sizes)
        return f"{len(self):,} of at most {self.tokens:,} tokens{beyond} ({rows}; {padding:.0%} padding)"


def _divided(sizes: list[int], tokens: int, fewest: int) -> Bounds:
    """Return the first row of each batch and the one after its last, for ascending lengths.

    Where its size allows, a batch has at least two rows, because batch normalization fails for a single one: a single
    last row is joined by one of the batch before it.
    """
    ends = [0]
    for row, size in enumerate(sizes):
        if row - ends[-1] >= fewest and (row + 1 - ends[-1]) * size > tokens:
            ends.append(row)
    ends.append(len(sizes))
    bounds = [(first, end) for first, end in pairwise(ends) if first < end]
    if len(bounds) > 1:
        (first, end), (_, last) = bounds[-2:]
        missing = max(fewest, 2) - (last - end)
        fits = max(fewest, 2) * sizes[-1] <= tokens or last - end < fewest
        if missing > 0 and fits and end - first - missing >= fewest:
            bounds[-2:] = [(first, end - missing), (end - missing, last)]
        elif last - end < fewest:
            bounds[-2:] = [(first, last)]
    return bounds

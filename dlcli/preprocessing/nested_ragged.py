"""`NestedRagged`: rows of several sequences of unequal length, such as the windows of a text."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.preprocessing.ragged import Ragged


class NestedRagged(Ragged):
    """A field of rows `(W, T, ...)` of W sequences of T steps; a batch is padded to the most and longest of its rows.

    The length of a row, by which batches are formed, is the number of steps of its sequences together.

    Args:
        sequences: all sequences, in the order of the rows.
        counts: number of sequences of each row, int64 `(N,)`.
    """

    def __init__(self, sequences: Ragged, counts: Tensor) -> None:
        totals = torch.zeros(len(counts), dtype=torch.int64)
        rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
        totals.scatter_add_(0, rows, sequences.lengths)
        super().__init__(sequences.values, totals, sequences.padding)
        self.sequences = sequences
        self.counts = counts
        self._first = counts.cumsum(0) - counts

    @property
    def shape(self) -> torch.Size:
        """`(N, 0, 0, ...)`; 0 stands for a varying size."""
        return torch.Size((len(self), 0, 0, *self.values.shape[1:]))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`, `(B, W, T, ...)`."""
        index = index.cpu()
        counts = self.counts[index]
        most = int(counts.max()) if len(counts) else 0
        steps = torch.arange(most)
        present = steps < counts.unsqueeze(1)
        chosen = self.sequences.index_select(0, (self._first[index].unsqueeze(1) + steps)[present])
        places = present.flatten().nonzero().squeeze(1).to(chosen.device)
        batch = chosen.new_full((len(index) * most, *chosen.shape[1:]), self.padding)
        return batch.index_copy_(0, places, chosen).unflatten(0, (len(index), most))

    def to(self, device: torch.device) -> NestedRagged:
        """Return the same rows with their values on a device."""
        return NestedRagged(self.sequences.to(device), self.counts)

"""`Ragged` and `NestedRagged`: fields of rows of unequal length, such as texts, stored contiguously."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Ragged:
    """Field (`dlcli.training.fields.Field`) of rows `(L, ...)` of unequal length; a batch is padded to its longest row.

    Values are not copied until a batch is read. The lengths stay on the CPU, so that the width of a batch is known
    without synchronizing with the device.

    Args:
        values: the concatenated rows `(L_1 + ... + L_N, ...)`.
        lengths: lengths of the rows, int64 `(N,)`.
        padding: padding value; for tokens, 0 is reserved for it.
        width: length to which all rows are padded; 0 for the longest of a batch.
    """

    def __init__(self, values: Tensor, lengths: Tensor, padding: float = 0, width: int = 0) -> None:
        self.values = values
        self.lengths = lengths
        self.padding = padding
        self.width = width
        self._starts = (lengths.cumsum(0) - lengths).to(values.device)

    @property
    def shape(self) -> torch.Size:
        """`(N, width, ...)`; 0 denotes a varying length."""
        return torch.Size((len(self), self.width, *self.values.shape[1:]))

    @property
    def device(self) -> torch.device:
        """Device of the values."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return self.values.nbytes

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate over the rows without padding."""
        return iter(self.values.split(self.lengths.tolist()))

    def __getitem__(self, rows: slice) -> Tensor:
        """Return rows in their order, `(B, longest, ...)`."""
        return self.index_select(0, torch.arange(len(self))[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`, `(B, longest, ...)`; an index on the CPU avoids a synchronization."""
        lengths = self.lengths[index.cpu()]
        longest = int(lengths.max()) if len(lengths) else 0
        steps = torch.arange(self.width or longest, device=self.device)
        present = steps < lengths.to(self.device).unsqueeze(1)
        places = self._starts[index.to(self.device)].unsqueeze(1) + steps
        # The padding of a short last row would index beyond the end of the values.
        batch = self.values[places.masked_fill_(~present, 0)]
        # masked_fill_ instead of batch[~present] = ..., which synchronizes to count the elements.
        return batch.masked_fill_(~present.view(*present.shape, *[1] * (batch.ndim - 2)), self.padding)

    def to(self, device: torch.device) -> Ragged:
        """Return the same rows with their values on a device."""
        return Ragged(self.values.to(device), self.lengths, self.padding, self.width)


class NestedRagged(Ragged):
    """Field of rows `(W, T, ...)` of W sequences of T steps; a batch is padded to the largest W and T of its rows.

    The length of a row, by which batches are formed, is the total number of steps of its sequences.

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
        """`(N, 0, 0, ...)`; 0 denotes a varying size."""
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

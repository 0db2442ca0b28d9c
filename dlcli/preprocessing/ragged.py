"""`Ragged`: rows of unequal length, such as texts, that lie end to end in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Ragged:
    """A `dlcli.training.fields.Field` whose rows `(L, ...)` differ in length; a batch is padded to its own longest.

    Values are not copied until a batch is read. The lengths stay on the CPU: how wide a batch has to be is then known
    without waiting for the device.

    Args:
        values: all rows, one after the other, `(L_1 + ... + L_N, ...)`.
        lengths: int64 `(N,)`.
        padding: what fills a batch up; 0, in tokens, is no token.
    """

    def __init__(self, values: Tensor, lengths: Tensor, padding: float = 0) -> None:
        self.values = values
        self.lengths = lengths
        self.padding = padding
        self._starts = (lengths.cumsum(0) - lengths).to(values.device)

    @property
    def shape(self) -> torch.Size:
        """`(N, 0, ...)`: the length differs from row to row."""
        return torch.Size((len(self), 0, *self.values.shape[1:]))

    @property
    def device(self) -> torch.device:
        """Where the values lie."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Of the values."""
        return self.values.nbytes

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Tensor]:
        """Each row by itself, unpadded."""
        return iter(self.values.split(self.lengths.tolist()))

    def __getitem__(self, rows: slice) -> Tensor:
        """Rows in their order, `(B, longest, ...)`."""
        return self.index_select(0, torch.arange(len(self))[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index `(B,)` in its order, `(B, longest, ...)`; one on the CPU needs no wait for a device."""
        lengths = self.lengths[index.cpu()]
        steps = torch.arange(int(lengths.max()) if len(lengths) else 0, device=self.device)
        there = steps < lengths.to(self.device).unsqueeze(1)
        places = self._starts[index.to(self.device)].unsqueeze(1) + steps
        # Where a short last row is padded, its places lie behind the end.
        batch = self.values[places.masked_fill_(~there, 0)]
        # Not batch[~there] = ...: that waits for the device to say how many they are.
        return batch.masked_fill_(~there.view(*there.shape, *[1] * (batch.ndim - 2)), self.padding)

    def to(self, device: torch.device) -> Ragged:
        """The same rows, their values on a device."""
        return Ragged(self.values.to(device), self.lengths, self.padding)

"""Windows of a series as fields of a batch: only the rows of a batch are ever laid out in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class WindowField:
    """Row i is `length` steps of a series from `starts[i]` on: `(N, length, F)`.

    Attributes:
        values: of the series `(T, F)`.
        starts: first step of each row `(N,)`.
        length: steps of a row.
    """

    values: Tensor
    starts: Tensor
    length: int

    @classmethod
    def of(cls, values: np.ndarray, starts: np.ndarray, length: int) -> Self:
        """The rows of values `(T, F)`; what lies before the first and behind the last of them is left behind."""
        first, last = (starts.min(), starts.max() + length) if len(starts) else (0, 0)
        return cls(torch.from_numpy(values[first:last]), torch.from_numpy(starts - first), length)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def shape(self) -> torch.Size:
        """`(N, length, F)`."""
        return torch.Size((len(self), self.length, self.values.shape[1]))

    @property
    def device(self) -> torch.device:
        """Where the series is."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Of the series, not of its windows."""
        return self.values.nbytes + self.starts.nbytes

    def __getitem__(self, rows: slice) -> Tensor:
        return self._read(self.starts[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index `(B,)`."""
        return self._read(self.starts.index_select(dim, index))

    def to(self, device: torch.device) -> Self:
        """The same, with the series on a device."""
        return replace(self, values=self.values.to(device), starts=self.starts.to(device))

    def _read(self, starts: Tensor) -> Tensor:
        # Step by step: reading rows of a strided view of all windows takes 20 times as long on a CPU.
        steps = starts.unsqueeze(1) + torch.arange(self.length, device=starts.device)
        return self.values.index_select(0, steps.flatten()).reshape(len(starts), *self.shape[1:])


@dataclass(frozen=True, eq=False)
class KnownAhead:
    """Histories, and behind them what is known of the steps to be forecast: `(N, lookback + horizon, F)`.

    Attributes:
        past: all columns of the lookback, `(N, lookback, F)`.
        ahead: the last columns, those known ahead, of the horizon, `(N, horizon, K)`. The others are 0 there.
    """

    past: WindowField
    ahead: WindowField

    def __len__(self) -> int:
        return len(self.past)

    @property
    def shape(self) -> torch.Size:
        """`(N, lookback + horizon, F)`."""
        rows, lookback, features = self.past.shape
        return torch.Size((rows, lookback + self.ahead.length, features))

    @property
    def device(self) -> torch.device:
        """Where the series is."""
        return self.past.device

    @property
    def nbytes(self) -> int:
        """Of the series, not of its windows."""
        return self.past.nbytes + self.ahead.nbytes

    def __getitem__(self, rows: slice) -> Tensor:
        return self._join(self.past[rows], self.ahead[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index `(B,)`."""
        return self._join(self.past.index_select(dim, index), self.ahead.index_select(dim, index))

    def to(self, device: torch.device) -> Self:
        """The same, with the series on a device."""
        return replace(self, past=self.past.to(device), ahead=self.ahead.to(device))

    def _join(self, past: Tensor, ahead: Tensor) -> Tensor:
        unknown = past.shape[2] - ahead.shape[2]
        return torch.cat([past, functional.pad(ahead, (unknown, 0))], dim=1)

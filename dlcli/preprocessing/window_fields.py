"""Windows of a series as fields; windows are materialized only per batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class WindowField:
    """Field `(N, length, F)`; row i consists of the `length` steps of a series from `starts[i]` on.

    Attributes:
        values: values of the series `(T, F)`.
        starts: first step of each row `(N,)`.
        length: number of steps of a row.
        padding: number of leading steps of each row that are NaN `(N,)`; None if there are none.
    """

    values: Tensor
    starts: Tensor
    length: int
    padding: Tensor | None = None

    @classmethod
    def of(
        cls, values: np.ndarray, starts: np.ndarray, length: int, padding: np.ndarray | None = None
    ) -> Self:
        """Return the windows of values `(T, F)`; values outside all windows are dropped."""
        read = starts if padding is None else starts + padding
        first, last = (read.min(), starts.max() + length) if len(starts) else (0, 0)
        padded = None if padding is None else torch.from_numpy(padding)
        return cls(torch.from_numpy(values[first:last]), torch.from_numpy(starts - first), length, padded)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def shape(self) -> torch.Size:
        """`(N, length, F)`."""
        return torch.Size((len(self), self.length, self.values.shape[1]))

    @property
    def device(self) -> torch.device:
        """Device of the series."""
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Size of the series in bytes, not of its windows."""
        return self.values.nbytes + self.starts.nbytes + (0 if self.padding is None else self.padding.nbytes)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._read(self.starts[rows], None if self.padding is None else self.padding[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`."""
        padding = None if self.padding is None else self.padding.index_select(dim, index)
        return self._read(self.starts.index_select(dim, index), padding)

    def to(self, device: torch.device) -> Self:
        """Return the same rows with the series on a device."""
        padding = None if self.padding is None else self.padding.to(device)
        return replace(self, values=self.values.to(device), starts=self.starts.to(device), padding=padding)

    def _read(self, starts: Tensor, padding: Tensor | None) -> Tensor:
        # Index single steps: reading rows of a strided view of all windows takes 20 times as long on a CPU.
        offsets = torch.arange(self.length, device=starts.device)
        steps = starts.unsqueeze(1) + offsets
        if padding is None:
            return self.values.index_select(0, steps.flatten()).reshape(len(starts), *self.shape[1:])
        read = self.values.index_select(0, steps.clamp_min(0).flatten())
        missing = offsets < padding.unsqueeze(1)
        return read.reshape(len(starts), *self.shape[1:]).masked_fill(missing.unsqueeze(2), torch.nan)


@dataclass(frozen=True, eq=False)
class KnownAhead:
    """Field `(N, lookback + horizon, F)` of histories followed by covariates that are known ahead.

    Attributes:
        past: all columns over the lookback `(N, lookback, F)`.
        ahead: the trailing columns, which are known ahead, over the horizon `(N, horizon, K)`; other columns are 0.
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
        """Device of the series."""
        return self.past.device

    @property
    def nbytes(self) -> int:
        """Size of the series in bytes, not of its windows."""
        return self.past.nbytes + self.ahead.nbytes

    def __getitem__(self, rows: slice) -> Tensor:
        return self._join(self.past[rows], self.ahead[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`."""
        return self._join(self.past.index_select(dim, index), self.ahead.index_select(dim, index))

    def to(self, device: torch.device) -> Self:
        """Return the same rows with the series on a device."""
        return replace(self, past=self.past.to(device), ahead=self.ahead.to(device))

    def _join(self, past: Tensor, ahead: Tensor) -> Tensor:
        unknown = past.shape[2] - ahead.shape[2]
        return torch.cat([past, functional.pad(ahead, (unknown, 0))], dim=1)

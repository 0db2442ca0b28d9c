"""Targets of a forecast as a field of windows, with the units of each row's series appended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from dlcli.preprocessing.window_fields import WindowField


@dataclass(frozen=True, eq=False)
class ScaledWindows:
    """Field `(N, horizon + U, K)`: the steps of each row, followed by U units of its series.

    Attributes:
        windows: the steps `(N, horizon, K)`.
        units: the units `(N, U, K)`.
    """

    windows: WindowField
    units: Tensor

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def shape(self) -> torch.Size:
        """`(N, horizon + U, K)`."""
        rows, horizon, targets = self.windows.shape
        return torch.Size((rows, horizon + self.units.shape[1], targets))

    @property
    def device(self) -> torch.device:
        """Device of the series."""
        return self.windows.device

    @property
    def nbytes(self) -> int:
        """Size of the series in bytes, not of its windows."""
        return self.windows.nbytes + self.units.nbytes

    def __getitem__(self, rows: slice) -> Tensor:
        return torch.cat([self.windows[rows], self.units[rows]], dim=1)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`."""
        return torch.cat([self.windows.index_select(dim, index), self.units.index_select(dim, index)], dim=1)

    def to(self, device: torch.device) -> Self:
        """Return the same rows with the series on a device."""
        return replace(self, windows=self.windows.to(device), units=self.units.to(device))

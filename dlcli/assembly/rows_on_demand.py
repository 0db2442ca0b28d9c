"""`RowsOnDemand`: a field of a large table whose rows are transformed on access, for a rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.training.fields import Field

# A function that transforms rows, given their numbers.
Transform = Callable[[np.ndarray], Mapping[str, Any]]


class RowsOnDemand:
    """One field of the rows, such as `x`.

    A rehearsal reads few batches only; transforming all rows would take most of its time and memory.

    Args:
        rows: number of rows.
        read: returns the field's values of some rows, given by their positions.
        example: the first row.
    """

    def __init__(self, rows: int, read: Callable[[np.ndarray], np.ndarray], example: np.ndarray) -> None:
        self._rows = rows
        self._read = read
        self.shape = torch.Size((rows, *example.shape[1:]))
        self.device = torch.device("cpu")
        self.nbytes = rows * example[:1].nbytes  # as if all rows were in memory

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, rows: slice) -> Tensor:
        """Return consecutive rows."""
        return self._of(np.arange(*rows.indices(self._rows)))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows at the positions `index`."""
        return self._of(index.cpu().numpy()).to(self.device)

    def to(self, device: torch.device) -> RowsOnDemand:
        """Return this object; batches are moved to the device when they are read."""
        return self

    def _of(self, positions: np.ndarray) -> Tensor:
        return torch.from_numpy(self._read(positions))


def fields_on_demand(transform: Transform, rows: np.ndarray) -> dict[str, Field]:
    """Return the fields of rows that are transformed on access, all fields of a batch together."""

    @lru_cache(maxsize=1)
    def transformed(positions: bytes) -> Mapping[str, Any]:
        return transform(rows[np.frombuffer(positions, dtype=np.int64)])

    def reader(name: str) -> Callable[[np.ndarray], np.ndarray]:
        return lambda positions: np.asarray(transformed(positions.astype(np.int64).tobytes())[name])

    first = transform(rows[:1])
    return {name: RowsOnDemand(len(rows), reader(name), np.asarray(values)) for name, values in first.items()}

"""Fields: what the rows of a part are made of, each read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Rows = slice | Tensor


@runtime_checkable
class Field(Protocol):
    """One value a row, such as `x`; a Tensor `(N, ...)` is one.

    What is not one block of memory (rows of unequal length, windows of a series, files that are still to be read) has
    these few methods too. A batch is read by one of them, with the shape that its rows need.
    """

    @property
    def shape(self) -> torch.Size:
        """`(N, ...)`: a row's own shape, 0 where it differs from row to row."""

    @property
    def device(self) -> torch.device:
        """Where a batch that is read will be."""

    def __len__(self) -> int:
        """Rows."""

    def __getitem__(self, rows: slice) -> Tensor:
        """Rows in their order."""

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index `(B,)`, on the same device, in its order; `dim` is 0."""

    def to(self, device: torch.device) -> Self:
        """The same rows on a device, or still to be sent there."""


@runtime_checkable
class ReadsAhead(Protocol):
    """A field that can work on batches before they are asked for."""

    def expect(self, batches: Iterator[Rows]) -> None:
        """These batches will be read next, in this order; what was expected before no longer is."""


Fields = Mapping[str, Field]
Batch = Mapping[str, Tensor]


def as_fields(arrays: Mapping[str, Any]) -> dict[str, Field]:
    """What a preprocessing gave, for batches to be read of: arrays as tensors that share their memory."""
    return {
        name: torch.from_numpy(values) if isinstance(values, np.ndarray) else values
        for name, values in arrays.items()
    }


def first_rows(fields: Fields, rows: int) -> Batch:
    """The first rows of each field."""
    return {name: values[:rows] for name, values in fields.items()}

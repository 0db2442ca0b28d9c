"""Fields: values of the rows of one part of the split, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Rows = slice | Tensor


@runtime_checkable
class Field(Protocol):
    """One value per row, such as `x`. A tensor `(N, ...)` is a field.

    Values that are not one block of memory (rows of unequal length, windows of a series, files that are read on demand)
    implement the same methods. A batch is padded to the largest of its rows.
    """

    @property
    def shape(self) -> torch.Size:
        """`(N, ...)`; a dimension that differs from row to row is 0."""

    @property
    def device(self) -> torch.device:
        """The device of the batches that are read."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, rows: slice) -> Tensor:
        """Return consecutive rows."""

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)` on the same device, in its order; `dim` is 0."""

    def to(self, device: torch.device) -> Self:
        """Return the same rows on a device, or moved there when they are read."""


@runtime_checkable
class ReadsAhead(Protocol):
    """A field that can prefetch batches."""

    def expect(self, batches: Iterator[Rows]) -> None:
        """Announce the batches that will be read next, in this order, replacing earlier announcements."""


@runtime_checkable
class DrawsAnew(Protocol):
    """A field of training rows that are drawn anew in each epoch, such as windows with random starts."""

    def drawn(self, seed: int) -> Field:
        """Return the rows of an epoch; related fields are drawn consistently with the same seed."""


Fields = Mapping[str, Field]
Batch = Mapping[str, Tensor]


def as_fields(arrays: Mapping[str, Any]) -> dict[str, Field]:
    """Return the output of a preprocessing as fields: arrays become tensors that share their memory."""
    return {
        name: torch.from_numpy(values) if isinstance(values, np.ndarray) else values
        for name, values in arrays.items()
    }


def judged_rows(task: Any, val: Fields) -> Fields:
    """Return `rows_of_an_epoch` evenly spaced validation rows, which a task evaluates in each epoch."""
    rows, most = len(next(iter(val.values()))), task.rows_of_an_epoch
    if most is None or rows <= most:
        return val
    chosen = torch.linspace(0, rows - 1, most, dtype=torch.float64).long()
    return {name: values.index_select(0, chosen.to(values.device)) for name, values in val.items()}


def first_rows(fields: Fields, rows: int) -> Batch:
    """Return the first rows of each field."""
    return {name: values[:rows] for name, values in fields.items()}

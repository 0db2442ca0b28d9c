"""Check that the transformed rows of a table fit into memory, before they are computed."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from dlcli.config.pasted import pasted
from dlcli.datasets.data import Data, take
from dlcli.errors import DataError
from dlcli.formatting import amount, counted
from dlcli.preprocessing.protocols import Preprocessing
from dlcli.process.memory import free_memory


@runtime_checkable
class SpreadsCategories(Protocol):
    """A preprocessing that may encode a column of a table as many columns."""

    def spread_columns(self) -> dict[str, int]:
        """Return categorical column to the number of columns that encode it."""


def check_fits_in_memory(preprocessing: Preprocessing, data: Data, rows: np.ndarray, more: int = 0) -> None:
    """Check that the fields of training and validation rows of a table fit into memory.

    Args:
        preprocessing: the fitted preprocessing.
        data: the raw rows.
        rows: numbers of the training rows.
        more: number of validation rows.

    Raises:
        DataError: they do not fit; the message names the column that needs the most memory.
    """
    if data.kind != "table":
        return
    one = preprocessing.transform(take(data.x, rows[:1]))
    size, count = sum(map(_size, one.values())), len(rows) + more
    needed, free = size * count, free_memory()
    if needed <= free:
        return
    spread = preprocessing.spread_columns() if isinstance(preprocessing, SpreadsCategories) else {}
    widest = max(spread, key=spread.__getitem__, default="")
    problem = (
        f"{counted(count, 'row')} of {amount(size)} need {amount(needed)} of memory, {amount(free)} are free"
    )
    fit = int(free / 2 / size) - more  # half of the memory is for training; validation keeps its rows
    fewer = f"use fewer rows, such as {pasted('trainer.limit_rows', fit)}" if fit > 1 else "use fewer rows"
    if 4 * sum(spread.values()) < size / 2:
        raise DataError(problem, "dataset", f"Leave out columns with dataset.drop, or {fewer}.")
    raise DataError(
        f"{problem}: column {widest} becomes {spread[widest]:,} columns, one for each category",
        "preprocessing.categorical",
        "Set preprocessing.categorical=embedding (for models with embeddings, such as model=mlp), which keeps one "
        f"number for each category; merge rare ones, such as preprocessing.rare=0.001; leave the column out: "
        f"{pasted('dataset.drop', [widest])}; or {fewer}.",
    )


def _size(field: Any) -> int:
    return int(getattr(field, "nbytes", 0))

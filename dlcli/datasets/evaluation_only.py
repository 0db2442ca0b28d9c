"""Evaluation-only rows: read with the columns of a model, without the checks of training data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from dlcli.datasets.reading.columns import Columns

Targets = Literal["categorical", "numeric", "either"]


@dataclass(frozen=True)
class Expected:
    """The properties that a model requires of evaluation rows.

    Attributes:
        targets: kind of its targets; unlike training targets, they may be constant or all distinct.
        columns: its columns; None for data without columns.
        labels: its labels, if a row may have several.
    """

    targets: Targets
    columns: Columns | None = None
    labels: tuple[str, ...] = ()


_expected: ContextVar[Expected | None] = ContextVar("expected", default=None)


@contextmanager
def evaluating(expected: Expected) -> Iterator[None]:
    """Treat rows that are read in the block as evaluation-only."""
    token = _expected.set(expected)
    try:
        yield
    finally:
        _expected.reset(token)


def evaluation_targets() -> Targets | None:
    """Return the kind of the targets of evaluation-only rows; None for training data."""
    expected = _expected.get()
    return expected.targets if expected else None


def evaluation_columns() -> Columns | None:
    """Return the columns by which evaluation-only rows are read; None for training data."""
    expected = _expected.get()
    return expected.columns if expected else None


def evaluation_labels() -> tuple[str, ...]:
    """Return the labels of the model for evaluation-only rows; none for training data or one class a row."""
    expected = _expected.get()
    return expected.labels if expected else ()

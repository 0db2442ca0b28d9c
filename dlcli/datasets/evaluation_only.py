"""Evaluation-only rows: skip the checks that training data must pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Targets = Literal["categorical", "numeric", "either"]

_targets: ContextVar[Targets | None] = ContextVar("targets", default=None)


@contextmanager
def evaluating(targets: Targets) -> Iterator[None]:
    """Treat rows that are read in the block as evaluation-only, with targets of the model's kind.

    The targets may all be equal or all differ.
    """
    token = _targets.set(targets)
    try:
        yield
    finally:
        _targets.reset(token)


def evaluation_targets() -> Targets | None:
    """Return the kind of the targets of evaluation-only rows; None for training data."""
    return _targets.get()

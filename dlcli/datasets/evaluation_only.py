"""Rows that judge a model that is there, and from which nothing is learnt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Targets = Literal["categorical", "numeric", "either"]

_targets: ContextVar[Targets | None] = ContextVar("targets", default=None)


@contextmanager
def judging(targets: Targets) -> Iterator[None]:
    """Read rows within: their targets are what the model's are, and may all be the same, or each another."""
    token = _targets.set(targets)
    try:
        yield
    finally:
        _targets.reset(token)


def judged_targets() -> Targets | None:
    """What the targets are of the rows that are read; None where they are to be learnt from."""
    return _targets.get()

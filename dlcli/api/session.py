"""Helpers of the Python API: the state of the process during a call, and conversion of arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlcli.process.interrupts import interruptible
from dlcli.process.quiet import quiet


@contextmanager
def command_session() -> Iterator[None]:
    """Silence libraries, and raise signals as `Interrupted`, as the commands do."""
    with quiet(), interruptible():
        yield


def word_list(overrides: str | Sequence[str]) -> Sequence[str]:
    """Return the overrides as a list; a single one may be given as a string."""
    return [overrides] if isinstance(overrides, str) else overrides


def path_list(folders: Sequence[Any]) -> list[Path]:
    """Return the folders as paths."""
    return [Path(folder) for folder in folders]


def path_or_none(given: str | Path | None) -> Path | None:
    """Return the path; None if none was given."""
    return Path(given) if given else None

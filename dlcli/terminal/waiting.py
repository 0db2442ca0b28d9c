"""A line that describes the work of a command until it has other output; it is removed at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from dlcli.formatting import duration
from dlcli.process.program import uncollected
from dlcli.sanitize.outlet import plain
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType


_SILENT_SECONDS = 1.0  # seconds until a clock appears


class Waiting:
    """Shows a text with a running clock on a terminal within its context; in a log, nothing."""

    def __init__(self, terminal: Terminal, text: str) -> None:
        self._text = text
        self._start = time.monotonic()
        self._display = LiveDisplay(terminal, self._render, transient=True)

    def _render(self) -> RenderableType:
        elapsed = time.monotonic() - self._start
        clock = f" {duration(elapsed)}" if elapsed >= _SILENT_SECONDS else ""
        return plain(f"{self._text} ...{clock}", "dim")

    def __enter__(self) -> Waiting:
        self._display.__enter__()
        self._display.changed(much=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)


@contextmanager
def loading(terminal: Terminal) -> Iterator[None]:
    """Say that libraries are being loaded while the body of the context imports them, which is faster within it."""
    with Waiting(terminal, "loading libraries"), uncollected():
        yield

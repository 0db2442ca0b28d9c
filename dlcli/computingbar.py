"""One live bar for what is computed before a training can start."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from dlcli.console import Terminal, duration
from dlcli.livedisplay import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType


class ComputingBar:
    """How many rows' features are there, and the time left; a context manager that leaves nothing behind.

    In a log it is one line, when it begins.
    """

    def __init__(self, terminal: Terminal, total: int) -> None:
        self._terminal = terminal
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._display = LiveDisplay(terminal, self._render, transient=True)

    def __enter__(self) -> ComputingBar:
        self._display.__enter__()
        if not self._terminal.live:
            self._terminal.note(f"computing the features of {self._total:,} rows, once")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def advance_to(self, done: int) -> None:
        """So many are there."""
        self._done = done
        self._display.changed()

    def _render(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed = time.monotonic() - self._start
        left = f"{duration(elapsed / self._done * (self._total - self._done))} left" if self._done else ""
        said = f"features of {self._done:,} of {self._total:,} rows"
        room = self._terminal.console.width - len(said) - len(left) - 4
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(self._total, self._done, width=max(5, min(40, room)))
        grid.add_row(Text(said, "bold"), bar, Text(left, "cyan"))
        return grid

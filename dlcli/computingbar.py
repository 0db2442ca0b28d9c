"""One live bar for what is computed of many rows, before a training or without one."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from dlcli.console import Terminal, duration
from dlcli.livedisplay import LiveDisplay
from dlcli.outlet import plain

if TYPE_CHECKING:
    from rich.console import RenderableType


class ComputingBar:
    """Of how many rows something is there, and the time left; a context manager that leaves nothing behind.

    In a log it is one line, `announced` when it begins. Where nobody knows how many rows there are, `total` is None.
    """

    def __init__(self, terminal: Terminal, what: str, total: int | None, announced: str = "") -> None:
        self._terminal = terminal
        self._what = what
        self._total = total
        self._announced = announced
        self._done = 0
        self._start = time.monotonic()
        self._display = LiveDisplay(terminal, self._render, transient=True)

    def __enter__(self) -> ComputingBar:
        self._display.__enter__()
        if self._announced and not self._terminal.live:
            self._terminal.note(self._announced)
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

        if self._total is None:
            return plain(f"{self._what} of {self._done:,} rows", "bold")
        elapsed = time.monotonic() - self._start
        left = f"{duration(elapsed / self._done * (self._total - self._done))} left" if self._done else ""
        said = f"{self._what} of {self._done:,} of {self._total:,} rows"
        room = self._terminal.console.width - len(said) - len(left) - 4
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(self._total, self._done, width=max(5, min(40, room)))
        grid.add_row(plain(said, "bold"), bar, plain(left, "cyan"))
        return grid

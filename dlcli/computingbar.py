"""One live bar for what is computed before a training can start."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import TYPE_CHECKING

from dlcli.console import Terminal, duration

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
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> ComputingBar:
        self._live = None
        if self._terminal.live:
            from rich.live import Live

            # No refresh thread: it would take the interpreter from computing.
            self._live = Live(
                console=self._terminal.console,
                auto_refresh=False,
                transient=True,
                get_renderable=self._render,
            )
            self._exit.enter_context(self._live)
            self._exit.enter_context(self._terminal.displaying())
        else:
            self._terminal.note(f"computing the features of {self._total:,} rows, once")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def advance_to(self, done: int) -> None:
        """So many are there. Whoever tells does so no more often than a person can see it."""
        self._done = done
        if self._live is not None:
            self._live.refresh()

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

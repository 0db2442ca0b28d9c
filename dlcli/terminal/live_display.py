"""What is redrawn in place on a terminal, and is nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from dlcli.formatting import REDRAW_SECONDS
from dlcli.terminal.console import Terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class LiveDisplay:
    """A context manager, within which `render` is drawn as often as a person can see it change.

    Its last state stays on the screen, unless it is `transient`. Not safe to use from several threads at once.
    """

    def __init__(
        self, terminal: Terminal, render: Callable[[], RenderableType], *, transient: bool = False
    ) -> None:
        self._terminal = terminal
        self._render = render
        self._transient = transient
        self._live: Live | None = None
        self._next_draw = 0.0
        self._exit = ExitStack()

    def __enter__(self) -> LiveDisplay:
        if self._terminal.live:
            from rich.live import Live

            # No refresh thread: it would take the interpreter from training to redraw what has not changed.
            self._live = Live(
                console=self._terminal.console,
                auto_refresh=False,
                transient=self._transient,
                get_renderable=self._render,
            )
            self._exit.enter_context(self._live)
            self._exit.enter_context(self._terminal.displaying())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live = None
        self._exit.close()  # draws once more

    def take_away(self) -> None:
        """Leave nothing on the screen at the end."""
        if self._live is not None:
            self._live.transient = True

    def changed(self, *, much: bool = False) -> None:
        """Redraw, unless the last time was a moment ago; at once where `much` has changed."""
        if self._live is None:
            return
        now = time.monotonic()
        if much or now >= self._next_draw:
            self._next_draw = now + REDRAW_SECONDS
            self._live.refresh()

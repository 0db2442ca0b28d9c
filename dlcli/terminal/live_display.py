"""Output that is redrawn in place on a terminal; elsewhere nothing is drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live

from dlcli.formatting import REDRAW_SECONDS
from dlcli.terminal.console import Terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class LiveDisplay:
    """Draws `render` as often as changes are visible, within its context.

    The last state stays on the screen, unless the display is `transient`. Not thread-safe.
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
            # No refresh thread, because it would interrupt training to redraw what has not changed.
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
        self._exit.close()  # draws a last time

    def take_away(self) -> None:
        """Remove the display from the screen at the end."""
        if self._live is not None:
            self._live.transient = True

    def changed(self, *, much: bool = False) -> None:
        """Redraw, unless that was done a moment ago; immediately if `much` has changed."""
        if self._live is None:
            return
        now = time.monotonic()
        if much or now >= self._next_draw:
            self._next_draw = now + REDRAW_SECONDS
            self._live.refresh()


def leave(displays: ExitStack, error: BaseException | None = None) -> None:
    """End live displays, with the error that ended the work they show."""
    displays.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

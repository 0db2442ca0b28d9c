"""Live output that is redrawn in place on a terminal; elsewhere nothing is drawn."""

from __future__ import annotations

import threading
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

_TICK_SECONDS = 1.0  # clocks are updated at least this often, also during a long step


class LiveDisplay:
    """Draws `render` within its context: when it changes, at a limited rate, and once a second for its clocks.

    The last state remains on the screen, unless the display is `transient`. `render` is called by one thread at a time,
    which holds `lock`; callers that change its state from several threads must hold the lock as well.
    """

    def __init__(
        self,
        terminal: Terminal,
        render: Callable[[], RenderableType],
        *,
        transient: bool = False,
        lock: threading.RLock | None = None,
    ) -> None:
        self._terminal = terminal
        self._render = render
        self._transient = transient
        self._lock = lock or threading.RLock()
        self._is_shared = lock is not None
        self._clock: threading.Thread | None = None
        self._live: Live | None = None
        self._drawn = 0.0
        self._over = threading.Event()
        self._exit = ExitStack()

    def __enter__(self) -> LiveDisplay:
        if self._terminal.live:
            # rich's own thread is not used, because it redraws several times a second even without changes.
            self._live = Live(
                console=self._terminal.console,
                auto_refresh=False,
                transient=self._transient,
                get_renderable=self._render,
            )
            self._exit.enter_context(self._live)
            self._exit.enter_context(self._terminal.displaying())
            self._clock = threading.Thread(target=self._tick, name="dlcli-clock", daemon=True)
            self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with self._lock:
            self._live = None
            self._exit.close()  # draws a last time
        # A process is forked only while it has one thread. With a shared lock, which the caller may hold, the clock
        # could wait for it.
        if self._clock is not None and not self._is_shared:
            self._clock.join()

    def take_away(self) -> None:
        """Remove the display from the screen when it ends."""
        if self._live is not None:
            self._live.transient = True

    def changed(self, *, much: bool = False) -> None:
        """Redraw, unless the display was redrawn a moment ago; with `much`, redraw at once."""
        if self._live is not None and (much or time.monotonic() >= self._drawn + REDRAW_SECONDS):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            if self._live is not None:
                self._drawn = time.monotonic()
                self._live.refresh()

    def _tick(self) -> None:
        """Until the context is left, redraw whenever the display was not redrawn for a second."""
        while not self._over.wait(_TICK_SECONDS):
            if time.monotonic() >= self._drawn + _TICK_SECONDS / 2:
                self._draw()


def leave(displays: ExitStack, error: BaseException | None = None) -> None:
    """Close live displays, passing the error that ended the work."""
    displays.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

"""A line that says what a command does before there is anything to show, removed at the end."""

from __future__ import annotations

from types import TracebackType

from dlcli.sanitize.outlet import plain
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay


class Waiting:
    """Shows a text on a terminal within its context; in a log, nothing."""

    def __init__(self, terminal: Terminal, text: str) -> None:
        self._display = LiveDisplay(terminal, lambda: plain(f"{text} ...", "dim"), transient=True)

    def __enter__(self) -> Waiting:
        self._display.__enter__()
        self._display.changed(much=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

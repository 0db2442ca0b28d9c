"""The one exit for what a person sees: only rich's own sequences pass it, whoever wrote the text."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dlcli.sanitize.escapes import visible
from dlcli.sanitize.presentable import presentable_name

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


@contextlib.contextmanager
def encodable(stream: TextIO) -> Iterator[None]:
    """Within it, the stream takes every text: a character that it has no code for is an escape."""
    # A class called "café" on an ASCII terminal must not end a training at its very last line.
    errors, reconfigure = getattr(stream, "errors", None), getattr(stream, "reconfigure", None)
    if reconfigure is None or errors != "strict":
        yield
        return
    reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        reconfigure(errors=errors)


def make_console(stderr: bool) -> Console:
    """rich's console on stdout or stderr, the one exit: only rich's own sequences pass it."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PipeTolerant(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[
            Segment
        ]:  # the one exit: whatever is printed, only rich's own sequences reach the terminal
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

        def on_broken_pipe(
            self,
        ) -> None:  # rich's own ends the process: `dlcli train | head` would lose the run
            self.quiet = True
            to_nowhere(sys.stderr if self.stderr else sys.stdout)

    return PipeTolerant(stderr=stderr, highlight=False, markup=False, emoji=False)


def to_nowhere(stream: TextIO) -> None:
    """Let what is still written to a stream vanish."""
    # Python flushes its streams at the end, which would fail again.
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), stream.fileno())


def plain(text: str, style: str = "", **layout: Any) -> Text:
    """A text of one line, whoever wrote it, as rich lays it out; `layout` as `rich.text.Text` takes it."""
    from rich.text import Text

    return Text(presentable_name(text), style, **layout)


class VisibleBytes(io.BytesIO):
    """A terminal, as what bytes are written to."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: Any) -> int:
        """Show bytes of UTF-8."""
        self._terminal.write(visible(bytes(text).decode(errors="backslashreplace")))
        return len(text)

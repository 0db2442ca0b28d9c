"""The single outlet for terminal output: it passes no control sequences other than rich's own."""

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
    """Let a stream accept every text within this context: characters outside its encoding are escaped."""
    # On an ASCII terminal, a class named "café" must not make a run fail on its last line of output.
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
    """Return a console on stdout or stderr that escapes control characters in all printed text."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PipeTolerant(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:  # everything that is printed passes here
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

        def on_broken_pipe(
            self,
        ) -> None:  # rich's implementation ends the process, and `dlcli train | head` would lose the run
            self.quiet = True
            to_nowhere(sys.stderr if self.stderr else sys.stdout)

    return PipeTolerant(stderr=stderr, highlight=False, markup=False, emoji=False)


def to_nowhere(stream: TextIO) -> None:
    """Redirect a stream to the null device."""
    # Otherwise Python's flush on exit would fail again.
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), stream.fileno())


def plain(text: str, style: str = "", **layout: Any) -> Text:
    """Return a single line as sanitised `rich.text.Text`; `layout` are further arguments of that class."""
    from rich.text import Text

    return Text(presentable_name(text), style, **layout)


class VisibleBytes(io.BytesIO):
    """A binary stream that writes to a terminal with control characters escaped."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: Any) -> int:
        """Write UTF-8 bytes."""
        self._terminal.write(visible(bytes(text).decode(errors="backslashreplace")))
        return len(text)

"""The output of a command: panels, tables, notes and errors, or one document with `--json`.

A command owns one `Terminal`::

    with Terminal(json=False) as terminal:
        terminal.panel("dlcli train", {"data": "digits, 10 classes", "model": "cnn"})
        terminal.results({"val/accuracy": 0.98, "test/accuracy": 0.97})

On a terminal the output has colours, and bars and tables that are redrawn in place (`bars`, `fold_table`). Elsewhere
(in a pipe, a file or a notebook) it consists of plain lines for a log, without boxes and control characters, and with
at most one line for an epoch every few seconds.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, TYPE_CHECKING, Any

from dlcli.errors import DlcliError
from dlcli.formatting import number
from dlcli.process.quiet import quiet
from dlcli.sanitize.outlet import VisibleBytes, encodable, make_console, plain, to_nowhere
from dlcli.sanitize.presentable import presentable, presentable_name, python_presentable
from dlcli.sanitize.redact import redact_all
from dlcli.terminal.table_layout import fitting, with_one_loss

if TYPE_CHECKING:
    from rich.console import Console

MAX_WIDTH = 100  # wider panels are hard to read

# Parts of a message that users paste into a shell: a quoted override, and a command up to the end of its line. They
# must not be wrapped at their blanks.
_TO_PASTE = re.compile(
    r"""(?<![^\s(])'[\w./@+~-]+=[^']*'(?:"'"'[^']*')*|: (?:\w+=\S+ )*(?:dlcli|srun|rm|mv) .*"""
)
_KEPT = "\ue000"


class Terminal:
    """The output of one command, for a user, or with `json` for a program.

    With `json`, stdout contains one document, written by `document` or `error`; all other output, including that of a
    user's model, goes to stderr. With `data`, stdout contains the data that the command produces (`data_out`). As a
    context manager, it also silences libraries (`quiet`).
    """

    def __init__(self, json: bool = False, *, data: bool = False) -> None:
        self.json = json
        self._reserved = json or data
        self.run_dir: Path | None = None  # folder of the command's run, once it exists
        self._stdout = sys.stdout
        self._out = make_console(stderr=self._reserved)
        self._err = make_console(stderr=True)
        # With FORCE_COLOR, rich treats a pipe as a terminal. Colours are fine there, but redrawing is not.
        self.live = self._out.is_terminal and self._out.file.isatty() and not self._out.is_dumb_terminal
        if not self.live:
            self._out.width = 2 * MAX_WIDTH  # otherwise rich would break the tables of a log at 80 columns
        self._displays = 0
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Terminal:
        for stream in (sys.stdout, sys.stderr):
            self._exit.enter_context(encodable(stream))
        if self._reserved:
            self._exit.enter_context(contextlib.redirect_stdout(sys.stderr))
        self._exit.enter_context(quiet())
        self._exit.enter_context(python_presentable())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def console(self) -> Console:
        """The console on which live displays are drawn."""
        return self._out

    @contextlib.contextmanager
    def displaying(self) -> Iterator[None]:
        """Declare that a live display is drawn on `console`, so that other output is printed above it."""
        self._displays += 1
        try:
            yield
        finally:
            self._displays -= 1

    def panel(self, title: str, rows: Mapping[str, str]) -> None:
        """Print a panel with one row per fact."""
        title = presentable_name(title)
        rows = {presentable_name(key): presentable_name(value) for key, value in rows.items()}
        if not self.live:
            width = max(map(len, rows), default=0) + 1
            lines = [f"  {key + ':':<{width}} {value}" for key, value in rows.items()]
            self._out.print("\n".join([title, *lines]), soft_wrap=True)
            return
        from rich import box
        from rich.panel import Panel
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        width = min(self._out.width, MAX_WIDTH)
        # Width of a value, without frame and key.
        room = width - 6 - min(max(map(len, rows), default=0), width // 2)
        # A path that is wrapped within a frame cannot be copied, so it is printed below in one piece.
        whole = {key: text for key, text in rows.items() if os.sep in text and _longest_word(text) > room}
        rows = {key: text for key, text in rows.items() if key not in whole}
        grid.add_column(style="cyan", overflow="fold", max_width=width // 2)
        grid.add_column(overflow="fold")
        for key, value in rows.items():
            grid.add_row(plain(key), plain(value))
        heading = plain(title, "bold")
        self._out.print(
            Panel(grid, title=heading, title_align="left", border_style="dim", box=box.ROUNDED, width=width)
        )
        for key, text in whole.items():
            self.note(f"{key}  {text}")

    def results(
        self,
        metrics: Mapping[str, float],
        title: str = "",
        baselines: Mapping[str, float] | None = None,
        headings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Print a table of metrics (rows) by split (columns val and test), from names such as `val/accuracy`.

        A metric with a baseline of the same name is shown with it: `0.971, baseline 0.101`. `headings` maps a split to
        its heading.
        """
        columns: dict[str, dict[str, str]] = {"val": {}, "test": {}}
        for name, value in metrics.items():
            split, _, metric = name.partition("/")
            if split in columns:
                baseline = (baselines or {}).get(name, math.nan)
                beside = "" if math.isnan(baseline) else f", baseline {number(baseline)}"
                columns[split][metric] = f"{number(value)}{beside}"
        shown = {headings.get(split, split): cells for split, cells in columns.items() if cells}
        self.table(with_one_loss(shown), title)

    def table(self, columns: Mapping[str, Mapping[str, str]], title: str) -> None:
        """Print a table of cells by column and row; columns that do not fit on a terminal are printed below."""
        if not columns:
            return
        columns = {
            presentable_name(name): {
                presentable_name(row): presentable_name(cell) for row, cell in cells.items()
            }
            for name, cells in columns.items()
        }
        if self.live:
            self._out.print()
        if title:
            # Printed separately, because rich wraps a title to the width of the table.
            self._out.print(plain(title, "bold"), soft_wrap=True)
        for part in fitting(columns, self._out.width):
            self._table(part)
            if self.live:
                self._out.print()

    def _table(self, columns: Mapping[str, Mapping[str, str]]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        # Secrets and control characters have been removed already, and headings may have been wrapped.
        table = Table(
            box=box.SIMPLE_HEAD if self.live else None,
            header_style="bold",
            show_edge=False,
        )
        table.add_column(no_wrap=True)
        for name in columns:
            table.add_column(Text(name), justify="right", overflow="fold", vertical="bottom")
        for metric in dict.fromkeys(metric for cells in columns.values() for metric in cells):
            table.add_row(Text(metric), *(Text(cells.get(metric, "-")) for cells in columns.values()))
        self._out.print(table)

    def note(self, text: str) -> None:
        """Print one line without wrapping it, so that a path or a command in it can be copied."""
        self._out.print(presentable(text), soft_wrap=True)

    def sentence(self, text: str, indent: int | None = None) -> None:
        """Print a text, wrapped between words; commands in it are not wrapped, so that they can be copied.

        Lines after the first are indented by `indent`; by default, to the text after the first line's bullet or blanks.
        """
        if self.live and ": dlcli " not in text:
            width = min(self._out.width, MAX_WIDTH)
            hanging = len(text) - len(text.lstrip(" -")) if indent is None else indent
            text = textwrap.fill(
                text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False
            )
        self.note(text)

    def warning(self, text: str, *, asked_for: bool = False) -> None:
        """Print a warning to stderr; with `asked_for`, it is part of the result and goes to the result's stream."""
        # Only the console of a live display can print above it.
        self._say(self._out if self._displays or asked_for else self._err, "warning: ", "bold yellow", text)

    def error(self, exc: DlcliError, run: Mapping[str, object] | None = None) -> None:
        """Print each problem of an error with its place and hint; with `json`, also write the document.

        `run` adds the stopped run to the document.
        """
        for problem in exc.problems:
            if problem.where:
                self._say(self._err, "error: ", "bold red", problem.where, style="bold")
                self._say(self._err, "  ", "", problem.message)
            else:
                self._say(self._err, "error: ", "bold red", problem.message)
            if problem.hint:
                self._say(self._err, "  hint: ", "cyan", problem.hint)
        if self.json:
            errors = [problem.to_json() for problem in exc.problems]
            self.document({"status": "ERROR", "errors": errors, **(run or {})})

    def document(self, document: Mapping[str, object]) -> None:
        """Write the one JSON document to the real stdout."""
        try:
            # Predictions contain the user's rows, which are not redacted.
            redacted = {k: v if k == "predictions" else redact_all(_plain(v), k) for k, v in document.items()}
            self._stdout.write(json_document(redacted) + "\n")
            self._stdout.flush()
        except BrokenPipeError:
            to_nowhere(self._stdout)

    @contextlib.contextmanager
    def data_out(self) -> Iterator[IO[bytes]]:
        """Yield the real stdout as a binary stream; a closed pipe ends the output without an error.

        On a terminal, control characters are made visible; a pipe or a file gets the bytes unchanged.
        """
        try:
            yield VisibleBytes(self._stdout) if self._stdout.isatty() else self._stdout.buffer
            self._stdout.buffer.flush()
        except BrokenPipeError:
            to_nowhere(self._stdout)

    def _say(self, console: Console, lead: str, lead_style: str, text: str, style: str = "") -> None:
        # Wrapped here, because rich breaks long words, and paths must stay in one piece.
        from rich.text import Text

        text = presentable(text)
        indent = "    " if lead.startswith("  h") else "  "
        width = console.width if self.live else 10**6
        wrapper = textwrap.TextWrapper(
            width,
            initial_indent=lead,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines: list[str] = []
        for line in text.split("\n"):
            wrapped = wrapper.wrap(_TO_PASTE.sub(lambda found: found[0].replace(" ", _KEPT), line))
            lines += [part.replace(_KEPT, " ") for part in wrapped] or [""]
            wrapper.initial_indent = indent
        body = Text("\n".join(lines), style=style)
        body.stylize(lead_style, 0, len(lead))
        console.print(body, soft_wrap=True)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def json_document(document: Mapping[str, object]) -> str:
    """Return the `--json` document as text, with its `schema_version`; NaN and infinity become null."""
    return json.dumps({"schema_version": 1, **_plain(document)}, allow_nan=False, indent=2)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return _plain(value.tolist())  # a scalar or an array of numpy or torch

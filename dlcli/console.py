"""What a person sees: panels, one live bar, tables, notes and errors; with `--json`, one document instead.

A command owns one `Terminal`::

    with Terminal(json=False) as terminal:
        terminal.panel("dlcli train", {"data": "digits, 10 classes", "model": "cnn"})
        with terminal.training(20, steps_per_epoch=36, monitor="val/loss", mode="min") as bar:
            bar.advance(36)
            bar.epoch(0, {"train/loss": 1.2, "val/loss": 0.9})
        terminal.results({"val/accuracy": 0.98, "test/accuracy": 0.97})

A terminal gets colours and a bar that is redrawn in place. Anything else (a pipe, a file, a notebook) gets
plain lines that read well in a log: no boxes, no control characters, a line an epoch at most every few
seconds.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from dlcli.errors import DlcliError
from dlcli.quiet import quiet

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REDRAW_SECONDS = 0.2
LOG_LINE_SECONDS = 5.0
MAX_WIDTH = 100  # a panel across a whole ultra-wide screen is hard to read


class Terminal:
    """Where one command talks to a person, or with `json` to a program.

    With `json` stdout carries one document (`document` or `error` writes it); everything else, also what a
    user's own model prints, goes to stderr. As a context manager it also keeps libraries `quiet`.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self._stdout = sys.stdout
        self._out = _console(stderr=json)
        self._err = _console(stderr=True)
        # FORCE_COLOR makes rich call a pipe a terminal; colours are fine there, redrawing is not.
        self.live = self._out.is_terminal and self._out.file.isatty() and not self._out.is_dumb_terminal
        if not self.live:
            self._out.width = 2 * MAX_WIDTH  # a log has no width, where rich would break tables at 80 columns
        self._bar_on = False
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Terminal:
        for stream in (sys.stdout, sys.stderr):
            self._exit.enter_context(_encodable(stream))
        if self.json:
            self._exit.enter_context(contextlib.redirect_stdout(sys.stderr))
        self._exit.enter_context(quiet())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def console(self) -> Console:
        """Where a live display is drawn."""
        return self._out

    def panel(self, title: str, rows: Mapping[str, str]) -> None:
        """What will run, before it does: one row per fact."""
        if not self.live:
            width = max(map(len, rows), default=0) + 1
            lines = [f"  {key + ':':<{width}} {value}" for key, value in rows.items()]
            self._out.print("\n".join([title, *lines]), soft_wrap=True)
            return
        from rich import box
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column(overflow="fold")
        for key, value in rows.items():
            grid.add_row(Text(key), Text(value))
        heading = Text(title, style="bold")
        width = min(self._out.width, MAX_WIDTH)
        self._out.print(
            Panel(grid, title=heading, title_align="left", border_style="dim", box=box.ROUNDED, width=width)
        )

    def training(
        self, max_epochs: int | None, steps_per_epoch: int, monitor: str, mode: str, first_epoch: int = 0
    ) -> TrainingBar:
        """The bar of one fit; a context manager.

        `max_epochs` None or -1 means that something else ends the run (`max_time`). `mode` (min or max) says
        which value of `monitor` is the best. `first_epoch` counts from 0 and is above it where a run is
        resumed.
        """
        return TrainingBar(self, max_epochs, steps_per_epoch, monitor, mode, first_epoch)

    def results(
        self, metrics: Mapping[str, float], title: str = "", baselines: Mapping[str, float] | None = None
    ) -> None:
        """A table of metrics (rows) by split (val and test), from names such as `val/accuracy`.

        A figure that has a baseline under the same name is shown with it: `0.971, baseline 0.101`.
        """
        columns: dict[str, dict[str, str]] = {"val": {}, "test": {}}
        for name, value in metrics.items():
            split, _, metric = name.partition("/")
            if split in columns:
                baseline = (baselines or {}).get(name, math.nan)
                beside = "" if math.isnan(baseline) else f", baseline {number(baseline)}"
                columns[split][metric] = f"{number(value)}{beside}"
        self.table({split: cells for split, cells in columns.items() if cells}, title)

    def table(self, columns: Mapping[str, Mapping[str, str]], title: str) -> None:
        """Cells by column and row."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        if not columns:
            return
        table = Table(box=box.SIMPLE_HEAD if self.live else None, header_style="bold", show_edge=False)
        table.add_column(title, overflow="fold")
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
        for metric in dict.fromkeys(metric for cells in columns.values() for metric in cells):
            table.add_row(Text(metric), *(cells.get(metric, "-") for cells in columns.values()))
        if self.live:
            self._out.print("", table, "", sep="\n")
        else:
            self._out.print(table)

    def note(self, text: str) -> None:
        """One line for a person; never broken by us, so that a path or a command in it can be copied."""
        self._out.print(text, soft_wrap=True)

    def warning(self, text: str) -> None:
        """Something that a person should know and that stops nothing."""
        # While a bar is live only its own console can print above it.
        self._say(self._out if self._bar_on else self._err, "warning: ", "bold yellow", text)

    def error(self, exc: DlcliError) -> None:
        """Each of the error's problems: where, what, what to do. With `json` also as the document."""
        for problem in exc.problems:
            if problem.where:
                self._say(self._err, "error: ", "bold red", problem.where, style="bold")
                self._say(self._err, "  ", "", problem.message)
            else:
                self._say(self._err, "error: ", "bold red", problem.message)
            if problem.hint:
                self._say(self._err, "  hint: ", "cyan", problem.hint)
        if self.json:
            self.document({"status": "ERROR", "errors": [problem.to_json() for problem in exc.problems]})

    def document(self, document: Mapping[str, object]) -> None:
        """Write the one JSON document to the real stdout."""
        try:
            print(json_document(document), file=self._stdout, flush=True)
        except BrokenPipeError:
            _to_nowhere(self._stdout)

    def _say(self, console: Console, lead: str, lead_style: str, text: str, style: str = "") -> None:
        # rich breaks long words where a line ends; a path must stay in one piece, so lines are broken here.
        from rich.text import Text

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
        for line in text.splitlines() or [""]:
            lines += wrapper.wrap(line) or [""]
            wrapper.initial_indent = indent
        body = Text("\n".join(lines), style=style)
        body.stylize(lead_style, 0, len(lead))
        console.print(body, soft_wrap=True)


class TrainingBar:
    """Epoch, time left, training loss and the monitored metric of one fit; made by `Terminal.training`."""

    def __init__(
        self,
        terminal: Terminal,
        max_epochs: int | None,
        steps_per_epoch: int,
        monitor: str,
        mode: str,
        first_epoch: int,
    ) -> None:
        self._terminal = terminal
        self._console = terminal._out
        self._max_epochs = max_epochs if max_epochs is not None and max_epochs >= 0 else None
        self._steps_per_epoch = max(1, steps_per_epoch)
        self._monitor, self._mode = monitor, mode
        self._epochs_done = first_epoch
        self._step = 0  # within the epoch
        self._steps_seen = 0  # by this process: what the speed is measured on
        self._best = math.nan
        self._metrics: Mapping[str, float] = {}
        self._start = time.monotonic()
        self._ended_after: float | None = None
        # advance() compares one number: where nothing is redrawn, that moment never comes.
        self._next_draw = self._start if terminal.live else math.inf
        self._next_line = self._start + LOG_LINE_SECONDS
        self._unsaid = False
        self._live = contextlib.ExitStack()

    def __enter__(self) -> TrainingBar:
        if self._terminal.live:
            from rich.live import Live

            # No refresh thread: it would take the interpreter from training to redraw what has not changed.
            self._display = Live(console=self._console, auto_refresh=False, get_renderable=self._render)
            self._live.enter_context(self._display)
            self._terminal._bar_on = True
            self._live.callback(setattr, self._terminal, "_bar_on", False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended_after = time.monotonic() - self._start
        if self._unsaid:
            self._console.print(self._line(), soft_wrap=True)
        self._live.close()

    def advance(self, steps: int = 1) -> None:
        """Count finished steps. Looks at a clock, and redraws if the last time is long enough ago."""
        self._step += steps
        self._steps_seen += steps
        now = time.monotonic()
        if now >= self._next_draw:
            self._next_draw = now + REDRAW_SECONDS
            self._display.refresh()

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch (counted from 0) has ended with these metrics."""
        self._epochs_done, self._step, self._metrics = epoch + 1, 0, dict(metrics)
        value = self._metrics.get(self._monitor, math.nan)
        better = value > self._best if self._mode == "max" else value < self._best
        if better or math.isnan(self._best):
            self._best = value
        if self._terminal.live:
            self._next_draw = time.monotonic()
            self.advance(0)
        elif time.monotonic() >= self._next_line:
            self._console.print(self._line(), soft_wrap=True)
            self._next_line = time.monotonic() + LOG_LINE_SECONDS
            self._unsaid = False
        else:
            self._unsaid = True

    def _epoch_text(self) -> str:
        running = self._ended_after is None and self._terminal.live
        shown = self._epochs_done + (1 if running or self._step else 0)
        if self._max_epochs is None:
            return f"epoch {shown}"
        shown = min(shown, self._max_epochs)
        return f"epoch {shown:>{len(str(self._max_epochs))}}/{self._max_epochs}"

    def _time_text(self) -> str:
        if self._ended_after is not None:
            return f"{duration(self._ended_after)} in all"
        elapsed = time.monotonic() - self._start
        if self._max_epochs is None or not self._steps_seen:
            return f"{duration(elapsed)} so far"
        left = (self._max_epochs - self._epochs_done) * self._steps_per_epoch - self._step
        return f"{duration(elapsed / self._steps_seen * max(0, left))} left"

    def _metric_texts(self) -> list[str]:
        texts = []
        for name in dict.fromkeys(["train/loss", self._monitor]):
            if name in self._metrics:
                best = f" (best {number(self._best)})" if name == self._monitor else ""
                texts.append(f"{name} {number(self._metrics[name])}{best}")
        return texts

    def _line(self) -> str:
        return "  ".join([self._epoch_text(), *self._metric_texts(), self._time_text()])

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        epoch, clock, metrics = self._epoch_text(), self._time_text(), self._metric_texts()
        if self._max_epochs is None:  # the end is unknown: show the way through the epoch
            total, done = self._steps_per_epoch, self._step
        else:
            total = self._max_epochs * self._steps_per_epoch
            done = self._epochs_done * self._steps_per_epoch + self._step
        in_line = "  ".join(metrics)
        room = self._console.width - len(epoch) - len(clock) - 4
        one_line = room - len(in_line) - 2 >= 15
        bar = ProgressBar(
            total, min(done, total), width=max(5, min(40, room - one_line * (len(in_line) + 2)))
        )
        grid = Table.grid(padding=(0, 2))
        cells: list[RenderableType] = [Text(epoch, "bold"), bar, Text(clock, "cyan")]
        if one_line:
            grid.add_row(*cells, Text(in_line))
            return grid
        grid.add_row(*cells)
        below = [in_line] if len(in_line) <= self._console.width else metrics
        return Group(grid, *map(Text, below))


@contextlib.contextmanager
def _encodable(stream: TextIO) -> Iterator[None]:
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


def _console(stderr: bool) -> Console:
    from rich.console import Console

    class PipeTolerant(Console):
        def on_broken_pipe(
            self,
        ) -> None:  # rich's own ends the process: `dlcli train | head` would lose the run
            self.quiet = True
            _to_nowhere(sys.stderr if self.stderr else sys.stdout)

    return PipeTolerant(stderr=stderr, highlight=False, markup=False, emoji=False)


def _to_nowhere(stream: TextIO) -> None:
    # Python flushes its streams at the end, which would fail again.
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), stream.fileno())


def number(value: float) -> str:
    """A figure with four significant digits, as all of dlcli's tables show it."""
    if math.isfinite(value) and 1e4 <= abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:#.4g}" if value else "0"


def amount(size: float) -> str:
    """Bytes with three significant digits: `3.21 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def duration(seconds: float) -> str:
    """Seconds as `0.4 s`, `2:05` or `1:02:05`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def json_document(document: Mapping[str, object]) -> str:
    """The `--json` document as text: with its `schema_version`, and NaN and infinity as null."""
    import json

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

"""The live table of several training runs, one line each; in a log, a line at the end of each run."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from dlcli.formatting import duration, number
from dlcli.sanitize.outlet import plain
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

# Maximum number of lines: those of running jobs and of the last finished ones.
_LINES = 20
# Maximum width of a number, and blanks around a column.
_FIGURE, _AROUND = 9, 3


@dataclass
class _Line:
    name: str
    state: str = "waits"
    epoch: int = 0
    max_epochs: int | None = None
    steps: int = 0  # steps in the current epoch
    steps_per_epoch: int = 1
    began: float = 0.0
    watched: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


class FoldTable:
    """The table of a round of jobs. A context manager, which ends the live display; thread-safe."""

    def __init__(self, terminal: Terminal, names: Sequence[str], jobs: int) -> None:
        self.lock = threading.RLock()
        self.shown = False
        self.title = f"{len(names)} training runs" + (f", {jobs} at a time" if jobs > 1 else "")
        self._terminal = terminal
        self._lines = [_Line(name) for name in names]
        self._monitor = ""
        self._display = LiveDisplay(terminal, self._render, lock=self.lock)

    def __enter__(self) -> FoldTable:
        self.shown = True
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.lock:
            self._display.__exit__(kind, error, trace)

    def computed(self, index: int, done: int, total: int) -> None:
        """Show the share of rows whose features are computed, before a training run starts."""
        with self.lock:
            self._lines[index].state = f"features {done / total:.0%}"
            self._display.changed()

    def prepared(self, index: int, max_epochs: int | None, monitor: str, steps_per_epoch: int = 1) -> None:
        """Show that a training run has started."""
        with self.lock:
            self._monitor, line = monitor, self._lines[index]
            line.state, line.began, line.steps_per_epoch = "runs", time.monotonic(), max(1, steps_per_epoch)
            line.max_epochs = max_epochs if max_epochs is None or max_epochs > 0 else None
            self._display.changed()

    def advance(self, index: int, steps: int) -> None:
        """Count finished steps of a training run. Called often."""
        with self.lock:
            self._lines[index].steps += steps
            self._display.changed()

    def epoch(self, index: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show a finished epoch."""
        with self.lock:
            line = self._lines[index]
            line.epoch, line.steps, line.watched = epoch + 1, 0, metrics.get(self._monitor, math.nan)
            self._display.changed()

    def finished(self, index: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Show a finished training run; in a log, print a line."""
        with self.lock:
            line = self._lines[index]
            line.state, line.seconds = "done", seconds
            line.metrics = {k: v for k, v in metrics.items() if k.startswith("test/")} or metrics
            if self._terminal.live:
                self._display.changed(much=True)
            else:
                done = sum(line.state == "done" for line in self._lines)
                figures = "  ".join(
                    f"{_shown(name)} {number(line.metrics[name])}" for name in self._main(line)
                )
                self._terminal.note(f"{line.name} ({done}/{len(self._lines)})  {figures}  {seconds:.1f} s")

    def _main(self, line: _Line) -> list[str]:
        """Return the loss and the main metric: the monitored one, or else the first that is not the loss."""
        watched = self._monitor.partition("/")[2]
        losses = [name for name in line.metrics if name.endswith("/loss")]
        others = [name for name in line.metrics if name not in losses]
        return losses[:1] + ([name for name in others if name.endswith(f"/{watched}")] or others)[:1]

    def _render(self) -> RenderableType:
        names = self._shown()
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
        done = sum(line.state == "done" for line in self._lines)
        shown = map(_shown, names)
        for heading in (f"{done}/{len(self._lines)} done", "epoch", self._monitor, *shown, "time"):
            table.add_column(heading, justify="left" if heading.endswith("done") else "right", no_wrap=True)
        for line in self._some():
            table.add_row(
                plain(line.name),
                _how_far(line),
                number(line.watched) if math.isfinite(line.watched) else "",
                *(number(line.metrics[name]) if name in line.metrics else "" for name in names),
                f"{line.seconds:.1f} s" if line.state == "done" else _running(line),
                style="dim" if line.state in ("waits", "done") else "",
            )
        return table

    def _shown(self) -> list[str]:
        """Return the metrics for which there is room beside name, epoch, monitored value and time."""

        def taken(*texts: str) -> int:
            return max(_FIGURE, *map(len, texts)) + _AROUND

        room = self._terminal.console.width - taken(self._monitor) - taken("time")
        room -= taken(*(line.name for line in self._lines)) + taken(*map(_how_far, self._lines))
        shown = []
        for name in dict.fromkeys(name for line in self._lines for name in line.metrics):
            if taken(_shown(name)) <= room:
                room -= taken(_shown(name))
                shown.append(name)
        return shown

    def _some(self) -> list[_Line]:
        if len(self._lines) <= _LINES:
            return self._lines
        done = [line for line in self._lines if line.state == "done"]
        running = [line for line in self._lines if line.state not in ("waits", "done")][:_LINES]
        return [*done[-(_LINES - len(running)) :], *running]


def _shown(name: str) -> str:
    """Return the name of a metric in the table: the `test` rows of a fold are its held-out rows."""
    return f"held-out {name.removeprefix('test/')}" if name.startswith("test/") else name


def _how_far(line: _Line) -> str:
    if not line.epoch and not line.steps:
        return line.state
    total = f"/{line.max_epochs}" if line.max_epochs else ""
    share = f" {min(line.steps, line.steps_per_epoch) / line.steps_per_epoch:.0%}" if line.steps else ""
    return f"{line.epoch + (1 if line.steps else 0)}{total}{share if line.state != 'done' else ''}"


def _running(line: _Line) -> str:
    return duration(time.monotonic() - line.began) if line.began else ""

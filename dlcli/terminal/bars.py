"""Live progress bars."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table

from dlcli.events import TrainingStarted
from dlcli.formatting import duration, number
from dlcli.sanitize.outlet import plain
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

LOG_LINE_SECONDS = 5.0


class TrainingBar:
    """Shows epoch, remaining time, training loss and monitored metric of a training run. A context manager."""

    def __init__(self, terminal: Terminal, run: TrainingStarted) -> None:
        self._terminal = terminal
        self._console = terminal.console
        # Otherwise another limit ends training, such as max_time.
        ends = run.max_epochs is not None and run.max_epochs >= 0
        self._max_epochs = run.max_epochs if ends else None
        self._steps_per_epoch = max(1, run.steps_per_epoch)
        self._monitor, self._mode = run.monitor, run.mode
        self._epochs_done = run.first_epoch
        self._step = 0  # within the epoch
        self._stops_early = run.stops_early
        self._steps_seen = 0  # steps of this process, from which the remaining time is estimated
        self._best = math.nan
        self._metrics: Mapping[str, float] = {}
        self._start = self._stepped = time.monotonic()
        self._ended_after: float | None = None
        self._next_line = self._start + LOG_LINE_SECONDS
        self._unsaid = False
        self._display = LiveDisplay(terminal, self._render)

    def __enter__(self) -> TrainingBar:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended_after = time.monotonic() - self._start
        if self._unsaid:
            self._terminal.note(self._line())
        self._display.__exit__(kind, error, trace)

    def advance(self, steps: int = 1) -> None:
        """Count finished steps. Called often."""
        self._step += steps
        self._steps_seen += steps
        self._stepped = time.monotonic()
        self._display.changed()

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show the metrics of a finished epoch, counted from 0."""
        self._epochs_done, self._step, self._metrics = epoch + 1, 0, dict(metrics)
        value = self._metrics.get(self._monitor, math.nan)
        better = value > self._best if self._mode == "max" else value < self._best
        if better or math.isnan(self._best):
            self._best = value
        if self._terminal.live:
            self._display.changed(much=True)
        elif time.monotonic() >= self._next_line and self._epochs_done != self._max_epochs:
            self._terminal.note(self._line())
            self._next_line = time.monotonic() + LOG_LINE_SECONDS
            self._unsaid = False
        else:
            self._unsaid = True

    def _epoch_text(self) -> str:
        # The next epoch is shown from its first step on, since the run may stop after this one.
        shown = max(1, self._epochs_done + (1 if self._step else 0))
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
        seconds = (self._stepped - self._start) / self._steps_seen * left - (time.monotonic() - self._stepped)
        most = "at most " if self._stops_early else ""
        return f"{most}{duration(max(0.0, seconds))} left"

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
        epoch, clock, metrics = self._epoch_text(), self._time_text(), self._metric_texts()
        # The number of epochs is unknown, so the bar shows the progress within the epoch.
        if self._max_epochs is None:
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
        cells: list[RenderableType] = [plain(epoch, "bold"), bar, plain(clock, "cyan")]
        if one_line:
            grid.add_row(*cells, plain(in_line))
            return grid
        grid.add_row(*cells)
        below = [in_line] if len(in_line) <= self._console.width else metrics
        return Group(grid, *map(plain, below))


class ComputingBar:
    """Shows the number of processed rows and the remaining time. Removed at the end of its context.

    In a log, only the line `announced` is printed. `total` is None if the number of rows is unknown.
    """

    def __init__(self, terminal: Terminal, what: str, total: int | None, announced: str = "") -> None:
        self._terminal = terminal
        self._what = what
        self._total = total
        self._announced = announced
        self._done = 0
        self._start = time.monotonic()
        self._display = LiveDisplay(terminal, self._render, transient=True)

    def __enter__(self) -> ComputingBar:
        self._display.__enter__()
        if self._announced and not self._terminal.live:
            self._terminal.note(self._announced)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def advance_to(self, done: int) -> None:
        """Show the number of processed rows."""
        self._done = done
        self._display.changed()

    def _render(self) -> RenderableType:
        if self._total is None:
            return plain(f"{self._what} of {self._done:,} rows", "bold")
        elapsed = time.monotonic() - self._start
        left = f"{duration(elapsed / self._done * (self._total - self._done))} left" if self._done else ""
        label = f"{self._what} of {self._done:,} of {self._total:,} rows"
        room = self._terminal.console.width - len(label) - len(left) - 4
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(self._total, self._done, width=max(5, min(40, room)))
        grid.add_row(plain(label, "bold"), bar, plain(left, "cyan"))
        return grid

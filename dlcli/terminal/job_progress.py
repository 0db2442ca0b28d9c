"""The progress of jobs on the terminal: a bar for a single training run, a table for several."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from dlcli.events import (
    EpochDone,
    Event,
    FeaturesComputed,
    JobEvent,
    JobFinished,
    JobsPlanned,
    StepsDone,
    TrainingEnded,
    TrainingStarted,
)
from dlcli.terminal.bars import ComputingBar, TrainingBar
from dlcli.terminal.console import Terminal
from dlcli.terminal.fold_table import FoldTable
from dlcli.terminal.live_display import leave
from dlcli.terminal.waiting import Waiting


class JobProgress:
    """Shows the panel when the first training run starts, then the progress of each round of jobs."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        self._terminal = terminal
        self._title = title
        self._has_panel = False
        self._table: FoldTable | None = None
        self._bar: TrainingBar | None = None
        self._computing: tuple[int, ComputingBar] | None = None
        self._before_panel = ExitStack()
        self._round = ExitStack()

    def close(self, error: BaseException | None = None) -> None:
        """End the live displays; their last state remains on the screen."""
        self._before_panel.close()
        leave(self._round, error)

    def show(self, event: Event) -> None:
        """Show an event of a job, or of a round of jobs."""
        match event:
            case JobEvent(index, StepsDone(steps)):
                if self._table is not None:
                    self._table.advance(index, steps)
                elif self._bar is not None:
                    self._bar.advance(steps)
            case JobEvent(index, EpochDone(epoch, metrics)):
                if self._table is not None:
                    self._table.epoch(index, epoch, metrics)
                elif self._bar is not None:
                    self._bar.epoch(epoch, metrics)
            case JobEvent(index, TrainingStarted() as started):
                self._start(index, started)
            case JobEvent(_, TrainingEnded()) if self._bar is not None:
                self._round.close()  # the last state of the bar remains
                self._bar = None
                self._round.enter_context(Waiting(self._terminal, "judging and drawing"))
            case JobEvent(index, FeaturesComputed(done, total)):
                self._show_features(index, done, total)
            case JobsPlanned(names, jobs):
                self._round.close()  # the display of the last round remains
                self._bar = None
                self._table = FoldTable(self._terminal, names, jobs) if len(names) > 1 else None
            case JobFinished(index, result):
                if self._table is not None:
                    self._table.finished(index, result.values, result.duration_s)

    def _start(self, index: int, started: TrainingStarted) -> None:
        if self._table is None:
            self._show_panel(started.description)
            self._bar = self._round.enter_context(TrainingBar(self._terminal, started))
            return
        with self._table.lock:
            description = {k: v for k, v in started.description.items() if k != "record"}  # of one fold
            self._show_panel({**description, "rows": f"{description['rows']}, {self._table.title}"})
            if not self._table.shown:
                self._round.enter_context(self._table)
        self._table.prepared(index, started.max_epochs, started.monitor, started.steps_per_epoch)

    def _show_panel(self, description: Mapping[str, str]) -> None:
        self._before_panel.close()
        self._computing = None
        if not self._has_panel:
            self._has_panel = True
            self._terminal.panel(self._title, description)

    def _show_features(self, index: int, done: int, total: int) -> None:
        if self._table is None:
            self._advance_features(index, done, total)
            return
        with self._table.lock:
            if self._table.shown:
                self._table.computed(index, done, total)
            else:
                self._advance_features(index, done, total)

    def _advance_features(self, index: int, done: int, total: int) -> None:
        """Show a bar for the first job that computes features before the panel; parallel jobs share its work."""
        if self._computing is None:
            bar = ComputingBar(
                self._terminal, "features", total, f"computing the features of {total:,} rows, once"
            )
            self._computing = index, self._before_panel.enter_context(bar)
        owner, bar = self._computing
        if owner == index:
            bar.advance_to(done)

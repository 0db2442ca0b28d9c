"""Show the progress of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dlcli.events import (
    EpochDone,
    Event,
    FeaturesComputed,
    SearchEnded,
    SearchStarted,
    StepsDone,
    SweepPlanned,
    TrainingEnded,
    TrainingStarted,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from dlcli.formatting import counted, number
from dlcli.sweeps.leaderboard import Standing
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import leave
from dlcli.terminal.sweep_table import SweepTable

if TYPE_CHECKING:
    from dlcli.sweeps.objective import Objective
    from dlcli.sweeps.trial import Trial


class SweepProgress:
    """Shows the panel, then a live table of running trials and the best one. Several sweeps share a panel.

    Args:
        terminal: the terminal.
        title: title of the panel.
        keeps_notes: delay notes until the panel is shown.
    """

    def __init__(self, terminal: Terminal, title: str, *, keeps_notes: bool) -> None:
        self._terminal = terminal
        self._title = title
        self._keeps_notes = keeps_notes
        self._notes: list[str] = []  # shown below the panel
        self._search = ""
        self._has_panel = False
        self._exit = ExitStack()
        self._table: SweepTable | None = None
        self._unit = "epoch"

    def close(self, error: BaseException | None = None) -> None:
        """End the live display; its last state remains on the screen, unless the sweep was interrupted."""
        self._show_notes()
        leave(self._exit, error)

    def note(self, text: str) -> None:
        """Show a note, or delay it until the panel is shown."""
        if self._keeps_notes:
            self._notes.append(text)
        else:
            self._terminal.sentence(text)

    def _show_notes(self) -> None:
        for text in self._notes:
            self._terminal.sentence(text)
        self._notes.clear()
        self._keeps_notes = False

    def show(self, event: Event) -> None:
        """Show an event of a sweep."""
        match event:
            case SearchStarted(name):
                self._search = name
            case SearchEnded():  # the last state of its table remains
                self._exit.close()
            case SweepPlanned():
                self._begin(event)
            case TrialStarted(trial, fold, folds) if self._table:
                self._unit = "fold" if folds > 1 else "epoch"
                self._table.began(trial.number, trial.params, (fold, folds) if folds > 1 else None)
            case TrialEvent(trial, FeaturesComputed(done, total)) if self._table:
                self._table.computed(trial.number, done, total)
            case TrialEvent(trial, TrainingStarted() as started) if self._table:
                self._table.prepared(trial.number, started.max_epochs, started.steps_per_epoch)
            case TrialEvent(trial, TrainingEnded()) if self._table:
                self._table.judged(trial.number)
            case TrialEvent(trial, StepsDone(steps)) if self._table:
                self._table.advance(trial.number, steps)
            case TrialEvent(trial, EpochDone(epoch, metrics)) if self._table:
                self._table.epoch(trial.number, epoch, metrics.get(self._objective.metric, math.nan))
            case TrialEnded(trial, best) if self._table:
                value = trial.values[0] if trial.state == "finished" else None
                reason = trial.reason
                if trial.state == "pruned" and trial.reports:
                    step = max(trial.reports)
                    figure = f"{self._objective.metric} {number(trial.reports[step])}"
                    reason = f"after {self._unit} {step}, {figure}"
                self._table.ended(trial.number, trial.params, trial.state, value, reason, _leader(best))

    def _begin(self, sweep: SweepPlanned) -> None:
        objective, total = sweep.objective, counted(sweep.total, "trial")
        if not self._has_panel:
            self._has_panel = True
            description, title = sweep.description, self._title
            if self._search:  # the record in the description is that of the first search alone
                description = {key: text for key, text in description.items() if key != "record"}
                title = f"{self._title}, a search in each fold"
            self._terminal.panel(title, description)
            self._show_notes()
        table = SweepTable(self._terminal, sweep.total, objective.metric, self._search)
        ended = [trial for trial in sweep.earlier if trial.state != "running"]
        best = Standing([*sweep.earlier], [objective]).best
        for trial in ended:
            table.count(trial.state)
        if ended:
            table.lead(_leader(best))
            whose = f"{self._search}, " if self._search else ""
            which = f"; the best so far is trial {best.number}, {_worth(objective, best)}" if best else ""
            verb = "is" if len(ended) == 1 else "are"
            self._terminal.sentence(f"{whose}{len(ended)} of {total} {verb} done{which}.")
        self._objective = objective
        self._table = self._exit.enter_context(table)


def _leader(best: Trial | None) -> tuple[int, float, Mapping[str, Any]] | None:
    return (best.number, best.values[0], best.params) if best else None


def _worth(objective: Objective, trial: Trial) -> str:
    return f"{objective.metric} {objective.text(trial.values[0])}"

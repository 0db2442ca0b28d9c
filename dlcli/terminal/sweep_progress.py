"""A sweep's progress on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dlcli.formatting import counted, number
from dlcli.process.supervision import records
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.watcher import SweepWatcher
from dlcli.terminal.console import Terminal
from dlcli.terminal.progress import TerminalWatcher
from dlcli.terminal.sweep_table import SweepTable

if TYPE_CHECKING:
    from dlcli.sweeps.objective import Objective
    from dlcli.sweeps.trial import Trial
    from dlcli.training.observer import Watcher


class TerminalSweepWatcher(SweepWatcher):
    """Shows the panel, then one table of what runs and what is best; a context manager.

    Of several sweeps that belong together there is one panel, and a table for each.
    """

    def __init__(self, terminal: Terminal, title: str) -> None:
        self._terminal = terminal
        self._title = title
        self._search = ""
        self._told = False
        self._early: list[str] = []  # what is to be said below the panel
        self._exit = ExitStack()
        self._table: SweepTable | None = None
        self._unit = "epoch"

    def __enter__(self) -> TerminalSweepWatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say_early()
        self._exit.__exit__(kind, error, trace)

    def _say_early(self) -> None:
        for text in self._early:
            self._terminal.sentence(text)
        self._early.clear()

    def recording(self, run_dir: Path) -> None:
        """Keep it for the message that says what stopped the sweep."""
        self._terminal.run_dir = run_dir
        records(run_dir)

    def noted(self, text: str) -> None:
        """Say it, below the panel."""
        if self._told:
            self._terminal.sentence(text)
        else:
            self._early.append(text)

    @contextmanager
    def searching(self, name: str) -> Iterator[None]:
        """Its table stays as it was at its end."""
        self._search = name
        try:
            yield
        finally:
            self._exit.close()

    def planned(
        self,
        description: Mapping[str, str],
        total: int,
        slots: int,
        objective: Objective,
        earlier: Sequence[Trial],
    ) -> None:
        """Show the panel, and begin the table."""
        if not self._told:
            self._told = True
            if self._search:  # of the first; its record is not that of the whole
                description = {key: text for key, text in description.items() if key != "record"}
            title = f"{self._title}, a search in each fold" if self._search else self._title
            self._terminal.panel(title, description)
            self._say_early()
        table = SweepTable(self._terminal, total, objective.metric, self._search)
        ended = [trial for trial in earlier if trial.state != "running"]
        best = Standing([*earlier], [objective]).best
        for trial in ended:
            table.count(trial.state)
        if ended:
            table.lead(_leader(best))
            whose = f"{self._search}, " if self._search else ""
            which = f"; the best so far is trial {best.number}, {_worth(objective, best)}" if best else ""
            self._terminal.sentence(
                f"{whose}{len(ended)} of {counted(total, 'trial')} {'is' if len(ended) == 1 else 'are'} done{which}."
            )
        self._objective = objective
        self._table = self._exit.enter_context(table)

    def began(self, trial: Trial, fold: int, folds: int) -> None:
        """A line for the trial."""
        self._unit = "fold" if folds > 1 else "epoch"
        if self._table:
            self._table.began(trial.number, trial.params, (fold, folds) if folds > 1 else None)

    def computed(self, trial: Trial, done: int, total: int) -> None:
        """What a trial waits for."""
        if self._table:
            self._table.computed(trial.number, done, total)

    def epoch(self, trial: Trial, epoch: int, value: float) -> None:
        """How the trial is doing."""
        if self._table:
            self._table.epoch(trial.number, epoch, value)

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """The trial leaves the table; a better one shows on top."""
        if self._table:
            value = trial.values[0] if trial.state == "finished" else None
            reason = trial.reason
            if trial.state == "pruned" and trial.reports:
                step = max(trial.reports)
                figure = f"{self._objective.metric} {number(trial.reports[step])}"
                reason = f"after {self._unit} {step}, {figure}"
            self._table.ended(trial.number, trial.params, trial.state, value, reason, _leader(best))

    def refitting(self) -> Watcher:
        """The table is done; a bar for the winner."""
        self._exit.close()
        watcher = TerminalWatcher(self._terminal, "the winner, on all rows but the final test rows")
        return self._exit.enter_context(watcher)


def _leader(best: Trial | None) -> tuple[int, float, Mapping[str, Any]] | None:
    return (best.number, best.values[0], best.params) if best else None


def _worth(objective: Objective, trial: Trial) -> str:
    return f"{objective.metric} {objective.text(trial.values[0])}"

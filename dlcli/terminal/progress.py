"""An experiment's progress on the terminal: a bar for one training, a table for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from dlcli.process.supervision import records
from dlcli.result import Result
from dlcli.terminal.bars import ComputingBar, TrainingBar
from dlcli.terminal.console import Terminal
from dlcli.terminal.fold_table import FoldTable
from dlcli.training.observer import Observer, Plan, Watcher


class TerminalWatcher(Watcher):
    """Shows the panel when the first training is prepared, then what becomes of all; a context manager."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        self._terminal = terminal
        self._title = title
        self._told = False
        self._table: FoldTable | None = None
        self._computing: tuple[int, ComputingBar] | None = None
        self._before = ExitStack()
        self._exit = ExitStack()

    def __enter__(self) -> TerminalWatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._before.close()
        self._exit.__exit__(kind, error, trace)

    def recording(self, run_dir: Path) -> None:
        """Keep it for the message that says what stopped the run."""
        self._terminal.run_dir = run_dir
        records(run_dir)

    def noted(self, text: str) -> None:
        """Say it."""
        self._terminal.sentence(text)

    def planned(self, names: Sequence[str], jobs: int) -> None:
        """Begin a round: what was drawn for the last one stays as it is."""
        self._exit.close()
        self._table = FoldTable(self._terminal, names, jobs) if len(names) > 1 else None

    def observer(self, index: int) -> Observer:
        """Who draws one job's progress."""
        if self._table is None:
            return _BarObserver(self, index)
        return _RowObserver(self, self._table, index)

    def finished(self, index: int, result: Result) -> None:
        """Show a job's figures."""
        if self._table is not None:
            self._table.finished(index, result.metrics, result.duration_s)

    def computed(self, index: int, done: int, total: int) -> None:
        """A bar for the first that computes anything, until the panel: those beside it share the work."""
        if self._computing is None:
            bar = ComputingBar(
                self._terminal, "features", total, f"computing the features of {total:,} rows, once"
            )
            self._computing = index, self._before.enter_context(bar)
        owner, bar = self._computing
        if owner == index:
            bar.advance_to(done)

    def panel(self, description: Mapping[str, str]) -> None:
        """What runs, once."""
        self._before.close()
        self._computing = None
        if not self._told:
            self._told = True
            self._terminal.panel(self._title, description)

    def draw(self, plan: Plan) -> TrainingBar:
        """The bar of a training, until the next round."""
        bar = TrainingBar(
            self._terminal, plan.max_epochs, plan.steps_per_epoch, plan.monitor, plan.mode, plan.first_epoch
        )
        return self._exit.enter_context(bar)

    def show(self, table: FoldTable) -> None:
        """The table, from the first job's beginning on."""
        if not table.shown:
            self._exit.enter_context(table)


class _BarObserver(Observer):
    def __init__(self, watcher: TerminalWatcher, index: int) -> None:
        self._watcher = watcher
        self._index = index
        self._bar: TrainingBar | None = None

    def computed(self, done: int, total: int) -> None:
        self._watcher.computed(self._index, done, total)

    def noted(self, text: str) -> None:
        self._watcher.noted(text)

    def prepared(self, plan: Plan) -> None:
        self._watcher.panel(plan.description)
        self._bar = self._watcher.draw(plan)

    def advanced(self, steps: int) -> None:
        if self._bar is not None:
            self._bar.advance(steps)

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.epoch(epoch, metrics)


class _RowObserver(Observer):
    def __init__(self, watcher: TerminalWatcher, table: FoldTable, index: int) -> None:
        self._watcher = watcher
        self._table = table
        self._index = index

    def computed(self, done: int, total: int) -> None:
        with self._table.lock:
            if self._table.shown:
                self._table.computed(self._index, done, total)
            else:
                self._watcher.computed(self._index, done, total)

    def noted(self, text: str) -> None:
        self._watcher.noted(text)

    def prepared(self, plan: Plan) -> None:
        with self._table.lock:
            description = {k: v for k, v in plan.description.items() if k != "record"}  # one fold's own
            self._watcher.panel({**description, "rows": f"{description['rows']}, {self._table.title}"})
            self._watcher.show(self._table)
        self._table.prepared(self._index, plan.max_epochs, plan.monitor)

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._table.epoch(self._index, epoch, metrics)

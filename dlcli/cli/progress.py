"""A training's progress on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType

from dlcli.console import Terminal, TrainingBar
from dlcli.training.observer import Observer, Plan


class TerminalObserver(Observer):
    """Shows the panel when a training is prepared, then the bar; a context manager that takes the bar away."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        self._terminal = terminal
        self._title = title
        self._bar: TrainingBar | None = None
        self._exit = ExitStack()

    def __enter__(self) -> TerminalObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def noted(self, text: str) -> None:
        """Say it."""
        self._terminal.note(text)

    def prepared(self, plan: Plan) -> None:
        """Show what will run."""
        self._terminal.panel(self._title, plan.description)
        bar = self._terminal.training(
            plan.max_epochs, plan.steps_per_epoch, plan.monitor, plan.mode, plan.first_epoch
        )
        self._bar = self._exit.enter_context(bar)

    def advanced(self, steps: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.advance(steps)

    def finished_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show the epoch's figures."""
        if self._bar is not None:
            self._bar.epoch(epoch, metrics)

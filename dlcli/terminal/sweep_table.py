"""The live table of a sweep: the number of finished trials, the best so far, and the running ones."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.constrain import Constrain
from rich.progress_bar import ProgressBar
from rich.table import Table

from dlcli.errors import Interrupted
from dlcli.formatting import duration, number
from dlcli.sanitize.outlet import plain
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

_STATES = ("finished", "pruned", "failed")
_NARROW = 80  # width in columns below which the bar is short
# A terminal prints this after the last line on Ctrl-C; if it were wrapped, the display would be one line higher.
_ECHO = len("^C")


@dataclass
class _Slot:
    params: Mapping[str, Any]
    fold: tuple[int, int] | None = None
    epoch: int = 0
    value: float = math.nan
    features: float | None = None  # share of rows whose features are computed, until the first epoch
    steps: int = 0  # steps in the current epoch
    steps_per_epoch: int = 1
    max_epochs: int | None = None
    began: float = 0.0
    is_judged: bool = False  # its training has ended


class SweepTable:
    """The table of a sweep. A context manager, which ends the live display; thread-safe.

    Args:
        terminal: the terminal.
        total: number of trials.
        metric: name of the objective.
        title: name of the sweep, if it is one of several.
    """

    def __init__(self, terminal: Terminal, total: int, metric: str, title: str = "") -> None:
        self._terminal = terminal
        self._total = total
        self._metric = metric
        self._title = title
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._running: dict[int, _Slot] = {}
        self._best: tuple[int, float, Mapping[str, Any]] | None = None
        self._started = self._last_end = time.monotonic()
        self._ended_here = 0
        self._display = LiveDisplay(terminal, self._render, lock=self._lock)

    def __enter__(self) -> SweepTable:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if kind is not None and issubclass(kind, Interrupted):
                self._display.take_away()  # the error message contains the finished trials and the best one
            self._display.__exit__(kind, error, trace)

    def count(self, state: str) -> None:
        """Count a trial that ended before the sweep was resumed."""
        with self._lock:
            self._counts[state] += 1

    def lead(self, best: tuple[int, float, Mapping[str, Any]] | None) -> None:
        """Set the best trial so far."""
        with self._lock:
            self._best = best

    def began(self, trial: int, params: Mapping[str, Any], fold: tuple[int, int] | None) -> None:
        """Show that a trial, or its next fold (index, number of folds), has started."""
        with self._lock:
            self._running[trial] = _Slot(params, fold, began=time.monotonic())
            self._display.changed()

    def computed(self, trial: int, done: int, total: int) -> None:
        """Show the share of rows whose features are computed, before a trial starts; in a log, print a line."""
        with self._lock:
            if trial not in self._running:
                return
            # Parallel trials share the work, so only the first one prints a line.
            if not self._terminal.live and all(slot.features is None for slot in self._running.values()):
                self._note(f"trial {trial}: computing the features of {total:,} rows, once")
            self._running[trial].features = done / total
            self._display.changed()

    def prepared(self, trial: int, max_epochs: int | None, steps_per_epoch: int) -> None:
        """Show that the training of a trial has started."""
        with self._lock:
            if slot := self._running.get(trial):
                slot.max_epochs = max_epochs if max_epochs is None or max_epochs > 0 else None
                slot.steps_per_epoch, slot.features = max(1, steps_per_epoch), None
            self._display.changed()

    def judged(self, trial: int) -> None:
        """Show that the training of a trial has ended and its model is being evaluated."""
        with self._lock:
            if slot := self._running.get(trial):
                slot.is_judged = True
            self._display.changed()

    def advance(self, trial: int, steps: int) -> None:
        """Count finished steps of a trial. Called often."""
        with self._lock:
            if slot := self._running.get(trial):
                slot.steps += steps
            self._display.changed()

    def epoch(self, trial: int, epoch: int, value: float) -> None:
        """Show a finished epoch of a trial."""
        with self._lock:
            if slot := self._running.get(trial):
                slot.epoch, slot.steps, slot.value, slot.features = epoch + 1, 0, value, None
            self._display.changed()

    def ended(
        self,
        trial: int,
        params: Mapping[str, Any],
        state: str,
        value: float | None,
        reason: str | None,
        best: tuple[int, float, Mapping[str, Any]] | None,
    ) -> None:
        """Show that a trial has ended, and the best trial so far; in a log, print a line."""
        with self._lock:
            self._running.pop(trial, None)
            self._counts[state] += 1
            self._ended_here += 1
            self._last_end = time.monotonic()
            self._best = best
            if self._terminal.live:
                self._display.changed(much=True)
                return
            done = sum(self._counts.values())
            came = f"{self._metric} {number(value)}" if value is not None else state
            lead = "  best so far" if best and best[0] == trial else ""
            why = f": {reason}" if reason else ""
            self._note(f"trial {trial} ({done}/{self._total})  {came}{lead}{why}  {_settings(params)}")

    def _note(self, line: str) -> None:
        self._terminal.note(f"{self._title}, {line}" if self._title else line)

    def _render(self) -> RenderableType:
        done = sum(self._counts.values())
        counts = [f"{self._counts[state]} {state}" for state in _STATES if self._counts[state]]
        head = Table.grid(padding=(0, 2))
        narrow = self._terminal.console.width < _NARROW
        bar = ProgressBar(max(1, self._total), min(done, self._total), width=8 if narrow else 24)
        head.add_row(
            plain(f"{done}/{self._total}", "bold"),
            bar,
            plain(self._left(done), "cyan"),
            plain(", ".join(counts), overflow="ellipsis", no_wrap=True),
        )
        lines: list[RenderableType] = [plain(self._title, "bold")] if self._title else []
        lines.append(head)
        if self._best is not None:
            which, value, params = self._best
            best = Table.grid(padding=(0, 2))
            best.add_row(
                plain("best", "green"),
                plain(f"trial {which}  {self._metric} {number(value)}  {_settings(params)}", "green"),
            )
            lines.append(best)
        running = sorted(self._running.items())
        for (trial, slot), differs in zip(
            running, _differences([slot.params for _, slot in running]), strict=True
        ):
            text = f"now   trial {trial}{_at(slot)}  {_settings(differs)}"
            lines.append(plain(text, "dim", overflow="ellipsis", no_wrap=True))
        return Constrain(Group(*lines), self._terminal.console.width - _ECHO)

    def _left(self, done: int) -> str:
        now = time.monotonic()
        if not self._ended_here or done >= self._total:
            return duration(now - self._started)
        a_trial = (self._last_end - self._started) / self._ended_here
        return f"{duration(max(0.0, a_trial * (self._total - done) - (now - self._last_end)))} left"


def _at(slot: _Slot) -> str:
    fold = f"  fold {slot.fold[0] + 1}/{slot.fold[1]}" if slot.fold else ""
    if slot.features is not None:
        return f"{fold}  features {slot.features:.0%}"
    clock = f"  {duration(time.monotonic() - slot.began)}"
    if not slot.epoch and not slot.steps:
        return f"{fold}  begins{clock}"
    # The next epoch counts from its first step on.
    total = f"/{slot.max_epochs}" if slot.max_epochs else ""
    share = f" {min(slot.steps, slot.steps_per_epoch) / slot.steps_per_epoch:.0%}" if slot.steps else ""
    watched = f"  {number(slot.value)}" if math.isfinite(slot.value) else ""
    done = "judging" if slot.is_judged else f"epoch {slot.epoch + (1 if slot.steps else 0)}{total}{share}"
    return f"{fold}  {done}{watched}{clock}"


def _differences(running: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings in which running trials differ (all settings of a single trial), by unique short keys."""
    keys = dict.fromkeys(key for params in running for key in params)
    differing = [key for key in keys if any(params.get(key) != running[0].get(key) for params in running)]
    last = Counter(key.rpartition(".")[2] for key in keys)
    short = {key: key.rpartition(".")[2] for key in keys}
    return [
        {
            short[key] if last[short[key]] == 1 else key: params[key]
            for key in differing or keys
            if key in params
        }
        for params in running
    ]


def _settings(params: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={_setting(value)}" for key, value in params.items())


def _setting(value: Any) -> str:
    if value is None or isinstance(value, bool):  # as a user writes it
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)

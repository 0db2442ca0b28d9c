"""The live table of a sweep: how many trials are done, the best so far, and what each slot is at."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dlcli.errors import Interrupted
from dlcli.formatting import duration, number
from dlcli.sanitize.outlet import plain
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

_STATES = ("finished", "pruned", "failed")
_NARROW = 80  # columns, with fewer of which a short bar has to do
_ECHO = len(
    "^C"
)  # which a terminal shows behind the last line: broken there, the block would be one line higher


@dataclass
class _Slot:
    params: Mapping[str, Any]
    fold: tuple[int, int] | None = None
    epoch: int = 0
    value: float = math.nan
    features: float | None = None  # the share of rows whose features are there, while they are computed


class SweepTable:
    """Made once the trials are counted; a context manager that takes the live part away. Safe to use from threads.

    Args:
        terminal: where it is drawn.
        total: how many trials there will be.
        metric: what they are judged by.
        title: what the sweep is called where it is one of several.
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
        self._started = time.monotonic()
        self._ended_here = 0
        self._display = LiveDisplay(terminal, self._render)

    def __enter__(self) -> SweepTable:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if kind is not None and issubclass(kind, Interrupted):
                self._display.take_away()  # the message says what is done, and which is the best
            self._display.__exit__(kind, error, trace)

    def count(self, state: str) -> None:
        """A trial that had ended before the sweep went on."""
        with self._lock:
            self._counts[state] += 1

    def lead(self, best: tuple[int, float, Mapping[str, Any]] | None) -> None:
        """The best of those trials."""
        with self._lock:
            self._best = best

    def began(self, trial: int, params: Mapping[str, Any], fold: tuple[int, int] | None) -> None:
        """A trial, or its next fold (which, of how many), is trained."""
        with self._lock:
            self._running[trial] = _Slot(params, fold)
            self._display.changed()

    def computed(self, trial: int, done: int, total: int) -> None:
        """So many of the rows' features are there, which a trial needs before it can begin. In a log, one line."""
        with self._lock:
            if trial not in self._running:
                return
            # Trials side by side share the work: the first of them says it.
            if not self._terminal.live and all(slot.features is None for slot in self._running.values()):
                self._note(f"trial {trial}: computing the features of {total:,} rows, once")
            self._running[trial].features = done / total
            self._display.changed()

    def epoch(self, trial: int, epoch: int, value: float) -> None:
        """An epoch of a trial is done."""
        with self._lock:
            if slot := self._running.get(trial):
                slot.epoch, slot.value, slot.features = epoch + 1, value, None
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
        """A trial has ended; the best of all so far. In a log, a line."""
        with self._lock:
            self._running.pop(trial, None)
            self._counts[state] += 1
            self._ended_here += 1
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
        from rich.console import Group
        from rich.constrain import Constrain
        from rich.progress_bar import ProgressBar
        from rich.table import Table

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
        elapsed = time.monotonic() - self._started
        if not self._ended_here or done >= self._total:
            return duration(elapsed)
        return f"{duration(elapsed / self._ended_here * (self._total - done))} left"


def _at(slot: _Slot) -> str:
    fold = f"  fold {slot.fold[0] + 1}/{slot.fold[1]}" if slot.fold else ""
    if slot.features is not None:
        return f"{fold}  features {slot.features:.0%}"
    if not slot.epoch:
        return f"{fold}  begins"
    watched = f"  {number(slot.value)}" if math.isfinite(slot.value) else ""
    return f"{fold}  epoch {slot.epoch}{watched}"


def _differences(running: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of trials side by side: what tells them apart, by a key's last part where that is clear; of one alone, all."""
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
    texts = (
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in params.items()
    )
    return "  ".join(texts)

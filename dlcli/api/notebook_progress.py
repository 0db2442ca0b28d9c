"""Progress of training in a notebook: one line that is updated, and warnings below it.

The bars of a terminal would fill a notebook with lines; Jupyter can update an output that has an ID.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup

from dlcli.events import (
    EpochDone,
    Event,
    JobEvent,
    JobFinished,
    JobsPlanned,
    Listener,
    Note,
    RefitStarted,
    SweepPlanned,
    TrainingEnded,
    TrainingStarted,
    TrialEnded,
    TrialEvent,
    Warned,
    ignore,
)
from dlcli.formatting import REDRAW_SECONDS, duration, number
from dlcli.sanitize.presentable import presentable

_NOTES = 12  # maximum number of notes that are shown


@contextmanager
def notebook_listener() -> Iterator[Listener]:
    """Yield a listener that shows progress in a notebook; outside of a notebook, one that does nothing."""
    display = _display_of_notebook()
    if display is None:
        yield ignore
        return
    line = ProgressLine(display)
    try:
        yield line.listen
    finally:
        line.close()


def _display_of_notebook() -> Any:
    """Return IPython's `display` if this process is the kernel of a notebook, else None."""
    ipython, display = sys.modules.get("IPython"), sys.modules.get("IPython.display")
    shell = ipython.get_ipython() if ipython is not None else None
    return display.display if display is not None and hasattr(shell, "kernel") else None


class _Shown:
    """The output of a cell: HTML, or text if HTML is not supported."""

    def __init__(self, html: Markup, text: str) -> None:
        self._html, self._text = html, text

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


class ProgressLine:
    """The progress line; `listen` receives the events, from any thread.

    Args:
        display: IPython's `display`: called with an object and `display_id=True`, it returns an object with a method
            `update`.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._drawn = 0.0
        self._done, self._total = 0, 0
        self._what = "loading libraries and reading data"
        self._unit, self._figures, self._best = "", "", ""
        self._lowest: float | None = None
        self._monitor, self._mode = "val/loss", "min"
        self._is_single = True
        self._notes: list[str] = []
        self._draw(at_once=True)

    def listen(self, event: Event) -> None:
        """Receive an event."""
        with self._lock:
            self._draw(at_once=self._take(event))

    def close(self) -> None:
        """Show the final state."""
        with self._lock:
            self._what, self._figures = "", self._figures if self._is_single else ""
            self._draw(at_once=True)

    def _take(self, event: Event) -> bool:
        """Update the state by an event; return whether it has to be shown at once."""
        match event:
            case Note(text) | Warned(text):
                self._notes.append(text)
            case SweepPlanned(total=total, earlier=earlier):
                self._count("trial", len(earlier), total)
            case TrialEnded(best=best):
                self._done += 1
                if best is not None and best.values:
                    self._best = f"best: trial {best.number}, {number(best.values[0])}"
            case JobsPlanned(names=names) if self._is_single and len(names) > 1:
                self._count("fold", 0, len(names))
            case JobFinished() if not self._is_single:
                self._done += 1
            case RefitStarted():
                self._what = "training the winner on all other rows"
            case JobEvent(event=inner) | TrialEvent(event=inner):
                return self._take(inner) and self._is_single
            case TrainingStarted():
                self._monitor, self._mode, self._lowest = event.monitor, event.mode, None
                if self._is_single:
                    self._count("epoch", event.first_epoch, max(event.max_epochs or 0, 0))
            case EpochDone(epoch=epoch, metrics=metrics):
                self._note_epoch(epoch, dict(metrics))
                return False
            case TrainingEnded():
                if self._is_single:
                    self._what = "judging and drawing"
            case _:
                return False
        return True

    def _count(self, unit: str, done: int, total: int) -> None:
        self._is_single = unit == "epoch"
        self._what, self._unit, self._done, self._total = "", unit, done, total

    def _note_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        if self._is_single:
            self._done = epoch + 1
        value = metrics.get(self._monitor)
        sign = 1 if self._mode == "min" else -1
        if value is not None and (self._lowest is None or sign * value < sign * self._lowest):
            self._lowest = value
        shown = dict.fromkeys(name for name in ("train/loss", "val/loss", self._monitor) if name in metrics)
        self._figures = ", ".join(f"{name} {number(metrics[name])}" for name in shown)
        if self._lowest is not None and self._is_single:
            self._figures += f" (best {self._monitor} {number(self._lowest)})"

    def _draw(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if not at_once and now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        shown = _Shown(self._html(), self._text())
        if self._handle is None:
            self._handle = self._display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def _text(self) -> str:
        total = f"/{self._total}" if self._total else ""
        counts = f"{self._unit} {self._done}{total}" if self._unit else ""
        took = duration(time.monotonic() - self._started)
        parts = [counts, self._what, self._figures, self._best, took]
        return presentable("  ".join(filter(None, parts)))

    def _html(self) -> Markup:
        bar = Markup("")
        if self._total:
            bar = Markup(
                '<progress value="{}" max="{}" style="width:12rem;vertical-align:middle;margin-right:.8rem"></progress>'
            ).format(self._done, self._total)
        notes = [Markup("<div>{}</div>").format(presentable(text)) for text in self._notes[-_NOTES:]]
        hidden = len(self._notes) - len(notes)
        if hidden > 0:
            notes.insert(0, Markup("<div>... {} more above</div>").format(hidden))
        style = "font-family:system-ui,sans-serif;font-size:.9em;font-variant-numeric:tabular-nums"
        below = Markup('<div style="color:#777;font-size:.92em">{}</div>').format(Markup("").join(notes))
        return Markup('<div style="{}">{}{}{}</div>').format(style, bar, self._text(), below if notes else "")

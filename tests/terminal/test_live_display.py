"""A display that is redrawn in place."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from rich.console import Console

from dlcli.events import EpochDone, StepsDone, TrainingStarted
from dlcli.executors.channel import StepsTogether
from dlcli.sanitize.outlet import plain
from dlcli.terminal import live_display
from dlcli.terminal.bars import TrainingBar
from dlcli.terminal.console import Terminal
from dlcli.terminal.live_display import LiveDisplay
from dlcli.terminal.sweep_table import SweepTable


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal that can be redrawn, of which nothing is shown."""
    found = Terminal()
    found.live = True
    monkeypatch.setattr(found, "_out", Console(file=io.StringIO(), force_terminal=True, width=100))
    return found


def test_it_is_redrawn_for_its_clocks_without_other_changes(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_display, "_TICK_SECONDS", 0.001)
    drawn = threading.Semaphore(0)
    held: list[bool] = []
    lock = threading.RLock()

    def render() -> Any:
        held.append(lock._is_owned())  # type: ignore[attr-defined]
        drawn.release()
        return plain("12 s")

    with LiveDisplay(terminal, render, lock=lock) as display:
        for _ in range(5):  # rich itself draws at the beginning only
            assert drawn.acquire(timeout=60)
        with lock:  # another thread changes what is drawn
            display.changed(much=True)
    assert sum(held) >= 4


def test_nothing_is_drawn_after_the_end(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_display, "_TICK_SECONDS", 0.001)
    lines: list[int] = []
    with LiveDisplay(terminal, lambda: lines.append(1) or plain("x")):  # type: ignore[func-returns-value]
        pass
    count = len(lines)
    for thread in threading.enumerate():
        if thread.name == "dlcli-clock":
            thread.join(60)
    assert len(lines) == count


def test_the_remaining_time_falls_within_a_step_and_the_epoch_never(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr("dlcli.terminal.bars.time", Clock)
    bar = TrainingBar(Terminal(), TrainingStarted({}, 10, 2, "val/loss", "min", stops_early=True))
    shown = []
    for epoch in range(3):
        for _ in range(2):
            now += 10
            bar.advance()
            shown.append(bar._line())
            now += 5
            shown.append(bar._line())
        bar.epoch(epoch, {})
        shown.append(bar._line())
    epochs = [int(line.split("/")[0].removeprefix("epoch ")) for line in shown]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 3  # none is counted before its first step
    left = [line.rpartition("at most ")[2] for line in shown]
    assert left[:2] == ["3:10 left", "3:05 left"]


def test_a_trial_moves_within_its_epoch(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr("dlcli.terminal.sweep_table.time", Clock)
    table = SweepTable(terminal, 2, "val/loss")

    def shown() -> str:
        with terminal.console.capture() as capture:
            terminal.console.print(table._render())
        return next(line for line in capture.get().splitlines() if line.lstrip("\x1b[2m").startswith("now"))

    table.began(0, {"lr": 0.1}, None)
    assert "trial 0  begins" in shown()
    table.prepared(0, 20, 10)
    now = 3.0
    table.advance(0, 4)
    assert "epoch 1/20 40%  3.0 s" in shown()
    table.epoch(0, 0, 0.5)
    assert "epoch 1/20  0.5000  3.0 s" in shown()
    now = 65.0
    table.advance(0, 1)
    assert "epoch 2/20 10%  0.5000  1:05" in shown()
    table.judged(0)
    assert "judging  0.5000  1:05" in shown()


def test_steps_are_sent_together_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr("dlcli.executors.channel.time", Clock)
    heard: list[Any] = []
    listen = StepsTogether(heard.append)
    for _ in range(10):
        now += 0.1
        listen(StepsDone(2))
    listen(EpochDone(0, {}))
    now += 1
    listen(StepsDone(1))
    steps = [event.steps for event in heard if isinstance(event, StepsDone)]
    assert steps == [2, 10, 1]  # those of the rest of the epoch are not counted for the next one

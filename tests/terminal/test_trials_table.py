"""The table of trials at the end of a sweep, and the display before the first results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlcli.result import Result
from dlcli.terminal.console import Terminal
from dlcli.terminal.outcome import tell_trials
from dlcli.terminal.waiting import Waiting


def trial(number: int, value: float | None, **more: Any) -> dict[str, Any]:
    state = "FINISHED" if value is not None else "FAILED"
    about = {
        "trial": number,
        "value": value,
        "status": state,
        "duration_s": 61.0,
        "params": {"optimizer.lr": 1 / 3},
    }
    return {**about, **more}


def result(trials: list[dict[str, Any]]) -> Result:
    best = min((one for one in trials if one["value"] is not None), key=lambda one: one["value"])
    return Result("FINISHED", "a", "sweep", "e", Path(), "", {}, 1.0, trials=tuple(trials), best=best)


def test_every_trial_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        tell_trials(
            terminal, result([trial(0, 0.5), trial(1, 0.25), trial(2, None, params={"a": "x\x1b[2J"})])
        )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["trial", "value", "status", "took", "settings"],
        ["0", "0.5000", "FINISHED", "1:01", "optimizer.lr=0.3333"],
        ["1*", "0.2500", "FINISHED", "1:01", "optimizer.lr=0.3333"],
        ["2", "FAILED", "1:01", "a=x\\x1b[2J"],
    ]


def test_the_first_and_the_best_of_many_trials_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        tell_trials(terminal, result([trial(number, 100.0 - number) for number in range(50)]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split()[0] == "49*"
    assert lines[-1] == "... and 29 more trials: trials.csv in the run's folder, or --json"


def test_a_log_has_no_line_for_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal, Waiting(terminal, "loading libraries"):
        pass
    assert capsys.readouterr().out == ""

"""Sweeps that are killed and resumed, and one that is interrupted, as real processes."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.processes import ENDLESS, start, wait_until
from tests.sweep_kills import CASES, Case, kill_and_go_on, ledgers, untouched


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3]], ids=lambda case: case.name.replace(" ", "-"))
def test_a_kill_loses_nothing(case: Case, tmp_path: Path) -> None:
    """Three here; `python -m tests.sweep_kills 20` does more."""
    # Where a worker is killed the sweep just goes on: there is nothing to compare it with.
    reference = untouched(case, tmp_path / "reference") if case.victim == "driver" else None
    kill_and_go_on(case, tmp_path / "killed", reference, random.Random())


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly_and_shows_how_to_resume(tmp_path: Path) -> None:
    words = ["sweep", *ENDLESS, "optimizer.lr=0.1,0.01", "--name", "stopped"]
    process = start(words, tmp_path)

    def trains() -> bool:
        histories = [folder / "metrics.jsonl" for folder, x in ledgers(tmp_path).items() if x.kind == "trial"]
        return any(history.exists() and "train/loss" in history.read_text() for history in histories)

    wait_until(trains, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "Resume it: dlcli resume stopped" in err
    assert {ledger.status for ledger in ledgers(tmp_path).values()} == {"KILLED"}

"""Messages about runs that were resumed, that are still running, or that are not sweeps."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger

QUICK = ["dataset=iris", "model=linear", "trainer.accelerator=cpu", "callbacks=none", "--jobs", "1"]


def told(*words: str) -> str:
    return CliRunner().invoke(app, [*words, "--runs-dir", "runs"]).output


@pytest.fixture
def run_dir() -> Path:
    told("train", *QUICK, "trainer.max_epochs=2", "--name", "short")
    (found,) = Path("runs").glob("*/*/artifacts/ledger.json")
    return found.parent


def test_the_progress_of_a_run_is_shown(run_dir: Path) -> None:
    assert "the run is not a sweep" in told("resume", "short", "--trials", "5")
    said = told("resume", "short", "trainer.max_epochs=3")
    assert "short had finished. 2 epochs are recorded, the best val/loss " in said
    (run_dir / "model").rename(run_dir / "gone")
    with closing(HistoryWriter(run_dir)):
        Ledger.load(run_dir).update(status="RUNNING")
        said = told("predict", "short", "new.csv")
    assert "no model yet: it is still running" in said
    assert "dlcli resume" not in said


def test_the_number_of_finished_trials_is_shown() -> None:
    few = ["sweep", *QUICK, "trainer.max_epochs=3", "optimizer.lr=0.1,0.01,1e-4", "--name", "few"]
    told(*few, "--trials", "2", "sweep/sampler=random", "sweep.refit=false")
    said = told("resume", "few", "--trials", "3")
    assert "few had finished." in said
    assert "2 of 3 trials are done; the best so far is trial " in said

"""SLURM's executor, through submitit's local one: real processes, one of which is preempted."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.tracking.ledger import Ledger
from tests.processes import wait_until

SWEEP = [
    "sweep", "dataset=iris", "model=mlp", "trainer.max_epochs=60", "trainer.accelerator=cpu", "callbacks=none",
    "optimizer.lr=0.001,0.01", "sweep.refit=false", "executor=slurm", "executor.cluster=local", "--jobs", "1",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # warnings of submitit
def test_a_preempted_job_saves_and_is_handed_in_again(tmp_path: Path) -> None:
    pytest.importorskip("submitit")

    def first() -> Ledger | None:
        for file in (tmp_path / "runs").glob("*/*/artifacts/metrics.jsonl"):
            if "train/loss" in file.read_text():
                return Ledger.load(file.parent)
        return None

    def preempt() -> None:
        wait_until(lambda: first() is not None)
        ledger = first()
        assert ledger is not None
        assert ledger.pid is not None
        preempted.append(ledger.pid)
        os.kill(ledger.pid, signal.SIGUSR1)

    preempted: list[int] = []
    thread = threading.Thread(target=preempt)
    thread.start()
    done = CliRunner().invoke(app, [*SWEEP, "--json", "--runs-dir", str(tmp_path / "runs")])
    thread.join()
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [trial["status"] for trial in document["trials"]] == ["FINISHED", "FINISHED"]
    folder = tmp_path / "runs" / "iris" / document["trials"][0]["run_id"] / "artifacts"
    assert Ledger.load(folder).pid not in preempted, "it went on in another process"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train/loss" in line["metrics"]] == list(range(1, 61))
    assert not psutil.pid_exists(preempted[0])

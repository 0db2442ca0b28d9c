"""Worker processes: what they read, how they end, and what is left of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from dlcli.cores import cores
from dlcli.datasets import iris
from dlcli.datasets.data import Data
from dlcli.datasets.sharing import SharedData, read_shared
from dlcli.errors import Diverged, Problem, describe_error, restore_error
from dlcli.executors.resources import share_out
from dlcli.tracking.ledger import Ledger
from tests.processes import ENDLESS, run, start, wait_until, workers_of

FOLDS = ["train", *ENDLESS, "cv=kfold", "cv.folds=2", "--jobs", "2", "--name", "pair"]


def training(runs_dir: Path) -> list[Path]:
    """Folders of folds that have recorded an epoch."""
    return [
        file.parent
        for file in runs_dir.glob("*/*/artifacts/metrics.jsonl")
        if "train/loss" in file.read_text()
    ]


@pytest.mark.parametrize("kind", ["table", "array"])
def test_shared_rows_are_the_same_and_changes_stay_private(kind: str, tmp_path: Path) -> None:
    data = iris.load()
    if kind == "array":
        text = np.array(["a", "bc"] * 75, dtype=object)
        data = Data(
            "some", "sequence", np.arange(900.0).reshape(150, 6), data.y.copy(), data.classes, groups=text
        )
    shared = SharedData(data, tmp_path)
    copies = [read_shared(shared.fd) for _ in range(2)]
    assert not list(tmp_path.iterdir()), "the file has no name"
    for copy in copies:
        assert copy.fingerprint == data.fingerprint
        if kind == "table":
            pd.testing.assert_frame_equal(copy.x, data.x)
        else:
            assert copy.groups.tolist() == text.tolist()
    if kind == "array":
        copies[0].x[0, 0] += 1
        assert copies[1].x[0, 0] == data.x[0, 0]
    shared.close()


def test_cores_are_shared_out_and_the_user_s_lower_wish_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    for jobs in (1, 2, 100):
        places = share_out(jobs, "cpu")
        assert [place["OMP_NUM_THREADS"] for place in places] == [str(max(1, cores() // jobs))] * jobs
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share_out(1, "cpu")[0]["MKL_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "999")
    assert share_out(1, "cpu")[0]["OMP_NUM_THREADS"] == str(cores())


def test_errors_cross_the_channel_whole() -> None:
    error = Diverged(Problem("the loss became nan", "train/loss", "Lower optimizer.lr."))
    again = restore_error(describe_error(error))
    assert type(again) is Diverged
    assert again.problems == error.problems
    foreign = restore_error(describe_error(KeyError("column")))
    assert "KeyError: 'column'" in str(foreign)


@pytest.mark.slow
def test_workers_die_with_a_killed_driver_and_end_in_order_on_ctrl_c(tmp_path: Path) -> None:
    process = start(FOLDS, tmp_path)
    wait_until(lambda: len(training(tmp_path / "runs")) == 2, process)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    resumed = start(["resume", "pair"], tmp_path)  # with the two jobs that it was started with
    before = {folder: (folder / "metrics.jsonl").stat().st_size for folder in training(tmp_path / "runs")}
    wait_until(
        lambda: all((f / "metrics.jsonl").stat().st_size > size for f, size in before.items()), resumed
    )
    resumed.send_signal(signal.SIGINT)
    out, err = resumed.communicate(timeout=60)
    assert resumed.returncode == 130, err
    assert "Traceback" not in out + err
    statuses = [
        Ledger.load(file.parent).status for file in (tmp_path / "runs").glob("*/*/artifacts/ledger.json")
    ]
    assert statuses == ["KILLED"] * 3


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_run_and_says_why(tmp_path: Path) -> None:
    process = start(FOLDS, tmp_path)
    wait_until(lambda: len(training(tmp_path / "runs")) == 2, process)
    os.kill(workers_of(process.pid)[0].pid, signal.SIGKILL)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the worker process ended with SIGKILL" in err
    assert "--jobs" in err
    assert time.monotonic() - started < 40
    ledgers = [Ledger.load(file.parent) for file in (tmp_path / "runs").glob("*/*/artifacts/ledger.json")]
    assert sorted(ledger.status for ledger in ledgers) == ["FAILED", "FAILED", "KILLED"]
    done = run(["resume", "pair", "optimizer.lr=1"], tmp_path)
    assert done.returncode == 2
    assert "would make it another experiment" in done.stderr

"""Commands whose process hangs or ends without a message. Real processes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from dlcli.executors import workers
from dlcli.process import supervision
from dlcli.tracking.ledger import Ledger
from tests.forked import Dlcli
from tests.processes import TEMPLATE, children, run, start, wait_until, workers_of

# A user's model that fails after an epoch is recorded; before that it reports its progress.
BAD = """
import ctypes, os, signal, time
from pathlib import Path
import torch
from torch import nn

def deadlock():
    library, lock = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    for _ in range(2):
        library.pthread_mutex_lock(lock)  # the second call never returns, and holds the GIL

DEEDS = {
    "exit": lambda: os._exit(0),
    "fault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "sleep": lambda: time.sleep(100_000),
    "deadlock": deadlock,
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "train": lambda: None,
}

class Bad(nn.Module):
    accepts = {"table"}

    def __init__(self, input_shape, num_outputs, does: str, mark: str, once: bool = False):
        super().__init__()
        self.layer = nn.Linear(input_shape[0], num_outputs)
        self.does, self.mark, self.once = does, Path(mark), once

    def forward(self, x):
        if self.training and torch.is_grad_enabled() and self._is_time() and self._is_first():
            DEEDS[self.does]()
        return self.layer(x)

    def _is_time(self):
        if self.once and self.mark.exists():
            return False
        histories = self.mark.parent.glob("runs/*/*/artifacts/metrics.jsonl")
        return any("train/loss" in history.read_text() for history in histories)

    def _is_first(self):
        try:
            self.mark.touch(exist_ok=not self.once)  # of several processes only one
        except FileExistsError:
            return False
        return True
"""


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder with a user's model."""
    (tmp_path / "own_bad.py").write_text(BAD)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    yaml = f"_target_: own_bad.Bad\ndoes: train\nmark: '{tmp_path / 'mark'}'\n"
    (tmp_path / "conf" / "model" / "bad.yaml").write_text(yaml)
    return tmp_path


COMMON = ["-C", "conf", "dataset=iris", "model=bad", "trainer.accelerator=cpu", "callbacks=none"]


def impatient() -> None:
    """Wait for two seconds instead of four and eight for those who are hearing nothing anyway."""
    supervision._UNHANDLED = workers._GRACE = 2.0


def command(folder: Path, name: str, *words: str) -> Dlcli:
    return start([name, *COMMON, *words], folder, at_first=impatient)


def ledgers(folder: Path) -> list[Ledger]:
    found = [Ledger.load(file.parent) for file in folder.glob("runs/*/*/artifacts/ledger.json")]
    return sorted(found, key=lambda ledger: ledger.run_name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("exit", "the process ended with exit code 0 before it was done"),
        ("fault", "the process ended with SIGSEGV"),
    ],
)
def test_a_process_that_ends_silently_is_reported_by_its_parent(does: str, told: str, bad: Path) -> None:
    process = command(bad, "train", f"model.does={does}", "--json")
    out, err = process.communicate()
    assert process.returncode == 1
    assert f"error: {told}" in err
    document = json.loads(out)
    assert document["status"] == "ERROR"
    assert document["run_status"] == "FAILED"
    assert document["errors"][0]["message"] == told
    (ledger,) = ledgers(bad)
    assert ledger.status == "FAILED"
    assert told in ledger.error


@pytest.mark.slow
def test_a_sweep_continues_after_a_trial_that_crashed_its_process(bad: Path) -> None:
    process = command(
        bad, "sweep", "model.does=train,exit", "trainer.max_epochs=2", "sweep.refit=false", "--json"
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "The sweep continues." in err
    document = json.loads(out)
    assert [trial["status"] for trial in document["trials"]] == ["FINISHED", "FAILED"]
    assert "exit code 0" in document["trials"][1]["reason"]
    assert [ledger.status for ledger in ledgers(bad)] == ["FINISHED", "FINISHED", "FAILED"]


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_ctrl_c_ends_processes_that_ignore_it(twice: bool, bad: Path) -> None:
    process = command(bad, "train", "model.does=deadlock", "+model.once=true", "trainer.max_epochs=2")
    wait_until((bad / "mark").exists, process)
    process.send_signal(signal.SIGINT)
    if twice:
        time.sleep(0.5)  # a second signal by the user, not a duplicate of the first
        process.send_signal(signal.SIGINT)
    _, err = process.communicate()  # a process that is not ended would exceed the test's time limit
    assert process.returncode == 130
    assert "stopped by Ctrl-C" in err
    (ledger,) = ledgers(bad)
    assert ledger.status == "KILLED"
    assert f"dlcli resume {ledger.run_id[:8]}" in err
    done = run(["resume", "last", "-C", "conf"], bad)
    assert done.returncode == 0, done.output if hasattr(done, "output") else done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_a_pool_whose_worker_is_stopped(bad: Path) -> None:
    process = command(bad, "train", "cv=kfold", "cv.folds=2", "--jobs", "2", "trainer.max_epochs=100000")
    wait_until((bad / "mark").exists, process)
    left = [*workers_of(process.pid), *children(process.pid, TEMPLATE)]
    os.kill(left[0].pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert {ledger.status for ledger in ledgers(bad)} == {"KILLED"}
    assert "dlcli resume" in err
    _, alive = psutil.wait_procs(left, timeout=30)
    assert all(one.status() == psutil.STATUS_ZOMBIE for one in alive)


@pytest.mark.slow
def test_a_trial_that_hangs_is_ended_and_the_sweep_continues(bad: Path) -> None:
    words = ["model.does=train,sleep", "sweep.trial_timeout=8s", "trainer.max_epochs=2", "sweep.refit=false"]
    process = command(bad, "sweep", *words, "--json")
    out, err = process.communicate()
    assert process.returncode == 0, err
    document = json.loads(out)
    assert [trial["status"] for trial in document["trials"]] == ["FINISHED", "FAILED"]
    told = "sweep.trial_timeout: the trial took longer than 8s and was ended"
    assert document["trials"][1]["reason"] == told


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_replaced(bad: Path) -> None:
    words = ["model.does=stop", "+model.once=true", "executor.silence=5", "trainer.max_epochs=2"]
    process = command(bad, "train", *words, "cv=kfold", "cv.folds=2", "--jobs", "2")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "the worker process was replaced: it was unresponsive for 5s: it is stopped (SIGSTOP)" in out
    assert {ledger.status for ledger in ledgers(bad)} == {"FINISHED"}
    assert sum("dlcli.replaced" in ledger.tags for ledger in ledgers(bad)) == 1

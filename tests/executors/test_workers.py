"""Worker processes: their data, their termination, and their leftovers."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import dlcli
from dlcli.datasets.bundled import iris
from dlcli.datasets.data import Data
from dlcli.datasets.shared_memory import SharedData, read_shared
from dlcli.errors import Diverged, Problem, describe_error, restore_error
from dlcli.executors import template
from dlcli.executors.at_once import jobs_at_once
from dlcli.executors.local import share_out
from dlcli.executors.processes import NoWorkerError, Processes
from dlcli.process.cores import cores
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger
from tests.processes import ENDLESS, TEMPLATE, children, run, start, wait_until, workers_of

FOLDS = ["train", *ENDLESS, "cv=kfold", "cv.folds=2", "--jobs", "2", "--name", "pair"]


def training(runs_dir: Path) -> list[Path]:
    """The folders of folds that have recorded an epoch."""
    return [
        file.parent
        for file in runs_dir.glob("*/*/artifacts/metrics.jsonl")
        if "train/loss" in file.read_text()
    ]


@pytest.mark.parametrize("kind", ["table", "array"])
def test_shared_rows_are_the_same_and_changes_stay_private(kind: str, tmp_path: Path) -> None:
    data = iris()
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


def test_a_template_that_cannot_fork_reports_it_and_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Pipe()
    read, write = os.pipe()
    for _ in range(2):
        send_handle(here, write, os.getpid())
    os.close(write)

    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    assert template._start({}, None, 0, there) == {
        "error": f"[Errno {errno.EAGAIN}] Resource temporarily unavailable"
    }
    assert os.read(read, 1) == b"", "its ends are closed"
    for end in (here, there):
        end.close()
    os.close(read)


def test_a_template_outlives_exit_codes_that_are_lost() -> None:
    assert template._ending(os.getpid()) == {"code": 0}, "which is no child of its own"


def test_an_error_ends_a_template_at_once_and_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    template._end_after(lambda: [][0])
    template._end_after(lambda: None)
    assert codes == [1, 0]
    assert capsys.readouterr().err.count("IndexError") == 1


def test_the_debug_log_has_the_reason_why_workers_are_not_forked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shared = SharedData(iris(), tmp_path)
    monkeypatch.setattr("gc.freeze", lambda: None)
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        for wish, told in ("0", 0), ("1", 1):
            monkeypatch.setenv("DLCLI_DEBUG", wish)
            assert template._take_rows(shared.fd, []) is None
            assert (
                capsys.readouterr().err.count("instead of forked, which takes seconds: a library has started")
                == told
            )
    finally:
        release.set()
        thread.join()
        shared.close()


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
    left = [*workers, *children(process.pid, TEMPLATE)]
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive
    before = {folder: (folder / "metrics.jsonl").stat().st_size for folder in training(tmp_path / "runs")}

    process = start(["resume", "pair"], tmp_path)  # with the two jobs of the original command
    wait_until(
        lambda: all((f / "metrics.jsonl").stat().st_size > size for f, size in before.items()), process
    )
    left = [*workers_of(process.pid), *children(process.pid, TEMPLATE)]
    assert len(left) == 3
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert not any(one.is_running() for one in left)
    statuses = [
        Ledger.load(file.parent).status for file in (tmp_path / "runs").glob("*/*/artifacts/ledger.json")
    ]
    assert statuses == ["KILLED"] * 3


@pytest.mark.slow
def test_a_killed_worker_fails_its_run_with_a_reason(tmp_path: Path) -> None:
    process = start(FOLDS, tmp_path)
    wait_until(lambda: len(training(tmp_path / "runs")) == 2, process)
    left = [*children(process.pid, TEMPLATE), *workers_of(process.pid)]
    left[-1].kill()
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert "the worker process ended with SIGKILL" in err
    assert "--jobs" in err
    assert not any(one.is_running() for one in left)
    ledgers = [Ledger.load(file.parent) for file in (tmp_path / "runs").glob("*/*/artifacts/ledger.json")]
    assert sorted(ledger.status for ledger in ledgers) == ["FAILED", "FAILED", "KILLED"]
    done = run(["resume", "pair", "optimizer.lr=1"], tmp_path)
    assert done.returncode == 2
    assert "would make it another experiment" in done.stderr


# A user's model that reports its process and thread.
WITNESS = """
import json, os, sys
from pathlib import Path
import torch
from torch import nn

class Witness(nn.Module):
    accepts = {"table"}

    def __init__(self, input_shape, num_outputs, diary: str):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_shape[0], 8), nn.Dropout(0.2), nn.Linear(8, num_outputs))
        print("a model that talks")
        loaded, worker = list(sys.modules), "dlcli.executors.worker"
        seen = {
            "process": os.getpid(),
            "parent": os.getppid(),
            "threads": [torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]],
            "main": getattr(sys.modules["__main__"], "__file__", None),
            "late": loaded[loaded.index(worker) :] if worker in loaded else [],
        }
        with Path(diary).open("a") as file:
            file.write(json.dumps(seen) + "\\n")

    def forward(self, x):
        return self.layers(x)
"""


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """A folder with a user's model."""
    (tmp_path / "own_witness.py").write_text(WITNESS)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "witness.yaml").write_text("_target_: own_witness.Witness\ndiary: ???\n")
    return tmp_path


@pytest.mark.slow
def test_workers_are_forked_warm_and_give_the_same_bits(
    witness: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["dataset=iris", "model=witness", "trainer.max_epochs=1", "trainer.accelerator=cpu", "cv=kfold"]

    def train(name: str, *more: str) -> tuple[Result, list[bytes]]:
        own = [f"model.diary='{witness / name}'", f"runs_dir='{witness / name}-runs'", "cv.folds=3"]
        result = dlcli.train([*words, *own, *more], conf_dirs=[witness / "conf"])
        return result, [
            (fold.run_dir / "model" / "weights.safetensors").read_bytes() for fold in result.folds
        ]

    one, weights = train("one")
    capfd.readouterr()
    two, others = train("two", "executor.jobs=2", "executor.recycle=1")
    assert others == weights
    assert [fold.values for fold in two.folds] == [fold.values for fold in one.folds]
    assert not children(os.getpid(), TEMPLATE)
    assert not list((witness / "two-runs" / ".active").glob("*"))
    assert "a model that talks" in capfd.readouterr().err
    seen = [json.loads(line) for line in (witness / "two").read_text().splitlines()]
    there = [what for what in seen if what["process"] != os.getpid()]
    assert len({what["process"] for what in there}) == 3, "a new one for each job"
    assert len({what["parent"] for what in there}) == 1, "all of one template"
    assert {tuple(what["threads"]) for what in there} == {(1, "1")}
    assert {what["main"] for what in there} == {template.__file__}, "forked: anew it would be worker.py"
    late = {name for what in there for name in what["late"]}
    assert "dlcli.executors.worker" in late
    libraries = {name for name in late if "." not in name} - sys.stdlib_module_names - {"own_witness"}
    assert not libraries, "a template imports these beforehand, torch and all"
    assert late.isdisjoint(template._NEEDED)


@pytest.mark.slow
def test_a_sweep_refits_in_a_worker_and_reports_meanwhile(
    witness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def sweep(name: str, *more: str) -> Result:
        words = ["dataset=iris", "model=witness", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
        own = [f"model.diary='{witness / name}'", f"runs_dir='{witness / name}-runs'"]
        return dlcli.sweep([*words, *own, "optimizer.lr=0.1,0.01", *more], conf_dirs=[witness / "conf"])

    one, two = sweep("one"), sweep("two", "executor.jobs=2")
    model = "model/weights.safetensors"
    assert (two.run_dir / model).read_bytes() == (one.run_dir / model).read_bytes()
    assert two.values == one.values
    assert (two.run_dir / "plots" / "history.png").exists()
    refit = two.run_dir.parents[1] / Ledger.load(two.run_dir).result["refit_run_id"] / "artifacts"
    assert Ledger.load(refit).status == "FINISHED"
    assert (refit / "plots" / "learning_curves.png").exists()
    seen = [json.loads(line)["process"] for line in (witness / "two").read_text().splitlines()]
    assert len({*seen} - {os.getpid()}) == 3, "one for each trial, and a new one for the last job"
    assert not children(os.getpid(), TEMPLATE)


@pytest.mark.parametrize(
    ("jobs", "changes", "gigabytes", "expected"),
    [
        (3, {}, 9, 3),
        ("auto", {}, 9, 2),
        ("auto", {}, 0, 1),
        ("auto", {"trainer": {"accelerator": "cpu", "devices": 2, "max_epochs": 20}}, 9, 1),
        ("auto", {"dataset": {"batch_size": 320}}, 9, 1),
        ("auto", {"dataset": {"batch_size": "auto"}}, 9, 1),
        ("auto", {"dataset": {"batch_size": "full"}}, 9, 1),
        ("auto", {"trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 20, "max_steps": 100}}, 9, 1),
        ("auto", {"trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": -1}}, 9, 1),
    ],
    ids=[
        "asked",
        "many steps",
        "no memory",
        "two devices",
        "few steps",
        "automatic batches",
        "batches unknown",
        "step limit",
        "endless",
    ],
)
def test_many_steps_on_the_cpu_take_all_cores(
    monkeypatch: pytest.MonkeyPatch, jobs: int | str, changes: dict[str, Any], gigabytes: int, expected: int
) -> None:
    monkeypatch.setattr("dlcli.executors.at_once.share", lambda: 2)
    trainer = {"accelerator": "cpu", "devices": 1, "max_epochs": 20}
    monkeypatch.setattr("dlcli.executors.at_once.free_memory", lambda: gigabytes << 30)
    config = {"executor": {"jobs": jobs}, "trainer": trainer, "dataset": {"batch_size": 32}, **changes}
    rows = Data("some", "table", np.zeros((10_000, 2)), np.zeros(10_000, dtype=np.int64), classes=("a", "b"))
    assert jobs_at_once(config, 4, rows) == expected


@pytest.mark.slow
def test_a_template_that_is_killed_is_replaced(tmp_path: Path) -> None:
    shared = SharedData(iris(), tmp_path)
    place = share_out(1, "cpu")[0]
    processes = Processes()
    processes.share(shared.fd, [])
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as a supervisor may set it
    try:
        killed = processes.start(place)
    finally:
        signal.signal(signal.SIGCHLD, before)
    lost, ended = (processes.start(place) for _ in range(2))
    ended.retire()
    assert ended.ending == "exit code 0"
    killed.signal(signal.SIGKILL)
    killed.retire()
    assert killed.ending == "SIGKILL"
    (old,) = children(os.getpid(), TEMPLATE)
    assert [worker.is_running() for worker in workers_of(os.getpid())] == [True], "one is left"
    old.kill()
    assert list(lost.listen()) == []
    lost.retire()
    assert lost.ending == "SIGKILL"
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(processes.start, place)
        wait_until(lambda: any(child.pid != old.pid for child in children(os.getpid(), TEMPLATE)))
        processes.stop()  # while the template imports
        with pytest.raises(NoWorkerError, match="SIGKILL"):
            starting.result(timeout=60)
    processes.close()
    assert not children(os.getpid(), TEMPLATE)
    shared.close()

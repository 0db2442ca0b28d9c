"""Jobs that outlive their driver, and threads that must not end while a caller waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from dlcli.errors import ExecutorError
from dlcli.events import EpochDone, Event, ignore
from dlcli.executors import slurm
from dlcli.executors.remote_jobs import Following
from dlcli.executors.slurm_leftovers import end_earlier_job
from dlcli.job import Job
from dlcli.result import Result
from dlcli.tracking.history import HistoryWriter


def hand_in(folder: Path, job_id: str) -> None:
    """The files that submitit leaves for a job."""
    folder.mkdir()
    (folder / f"{job_id}_submitted.pkl").touch()


def test_a_process_that_was_left_is_ended_and_no_other_one(tmp_path: Path) -> None:
    folder = tmp_path / ".slurm"
    end_earlier_job(folder, "local")  # there are no leftovers
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen([*sleeps, "submitit"]) as left, subprocess.Popen(sleeps) as another:
        for process in (left, another):
            hand_in(folder, str(process.pid))
            end_earlier_job(folder, "local")
            assert not folder.exists()
        assert left.wait(10) < 0
        assert another.poll() is None
        another.kill()


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake SLURM with two commands: squeue prints a file, scancel empties it."""
    folder, file = tmp_path / "bin", tmp_path / "queue"
    folder.mkdir()
    for name, line in {
        "squeue": f"cat '{file}' || {{ echo 'slurm_load_jobs error: cannot contact controller' >&2; exit 1; }}",
        "scancel": f": > '{file}'",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return file


def test_a_job_that_was_left_is_cancelled_and_its_files_go(queue: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".slurm"
    hand_in(folder, "17")
    with pytest.raises(ExecutorError, match="does not answer"):
        end_earlier_job(folder, "slurm")
    assert list(folder.iterdir()), "it may still be training"
    queue.write_text("17 main dlcli RUNNING\n")
    end_earlier_job(folder, "slurm")
    assert queue.read_text() == ""
    assert not folder.exists()


def test_a_folder_of_code_may_be_called_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = """/a b/it's "mine" $HOME"""
    monkeypatch.setattr(sys, "path", [odd, "/c"])
    shell = [*slurm._environment(3), 'printf "%s %s" "$PYTHONPATH" "$OMP_NUM_THREADS"']
    said = subprocess.run(["sh", "-c", "\n".join(shell)], capture_output=True, text=True, check=True).stdout
    assert said == f"{odd}:/c 3"


def test_waiting_jobs_fail_if_slurm_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class _There:
        def done(self) -> bool:
            looks.append(1)
            raise OSError("sacct: cannot allocate memory")

    looks: list[int] = []
    monkeypatch.setattr(slurm, "_SECONDS", 0)
    executor = slurm.SlurmQueue(slurm.Slurm())
    future: Future[Result] = Future()
    executor._waiting["run"] = Job({}, "run", 0), ignore, future, _There()
    executor._poll()
    with pytest.raises(ExecutorError, match="SLURM does not answer: sacct: cannot allocate memory"):
        future.result(0)
    assert len(looks) > 1


def test_a_job_that_is_ended_before_it_began_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class _There:
        job_id = "17"

        def done(self) -> bool:
            return bool(ended)

    ended: list[str] = []
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "")
    monkeypatch.setattr(slurm, "_SECONDS", 0)
    monkeypatch.setattr(slurm, "end_job", lambda job_id, cluster: ended.append(job_id))
    future: Future[Result] = Future()
    with pytest.raises(KeyboardInterrupt), slurm.SlurmQueue(slurm.Slurm()) as executor:
        executor._waiting["run"] = Job({}, "run", 0), ignore, future, _There()
        raise KeyboardInterrupt
    assert ended == ["17"]
    assert not future.done()


def test_a_failed_listener_is_reported_at_the_end_of_its_job_and_the_others_continue(tmp_path: Path) -> None:
    def fails(event: Event) -> None:
        raise RuntimeError("a bug")

    def listens(event: Event) -> None:
        assert isinstance(event, EpochDone)
        heard.append(event.epoch)

    heard: list[int] = []
    jobs = [Job({}, str(tmp_path / name), 0) for name in ("a", "b")]
    following = Following()
    for job, listen in zip(jobs, (fails, listens), strict=True):
        run_dir = Path(job.run_dir)
        run_dir.mkdir()
        following.follow(job, listen)
        history = HistoryWriter(run_dir)
        history.append(0, {"train/loss": 1.0})
        history.close()
    following.look()
    assert heard == [0]
    with pytest.raises(RuntimeError, match="a bug"):
        following.forget(jobs[0])
    following.forget(jobs[1])

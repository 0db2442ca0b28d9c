"""Jobs that worker processes train together, as one model."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

import dlcli
from dlcli.events import (
    EpochDone,
    Event,
    JobEvent,
    JobFinished,
    JobsPlanned,
    TrialEnded,
    TrialEvent,
    TrialStarted,
    ignore,
)
from dlcli.executors.slot import REPLACED_TAG
from dlcli.job import SHARING
from dlcli.runner.sweep import sweep
from dlcli.runner.train import train
from dlcli.sweeps.trial import Trial
from dlcli.tracking.ledger import Ledger
from tests.executors.test_stacked_jobs import FOLDS, WORDS, assert_same_folds
from tests.executors.test_workers import training
from tests.processes import ENDLESS, TEMPLATE, children, start, wait_until, workers_of

pytestmark = pytest.mark.slow

TOGETHER = ["executor.stack=true", "executor.jobs=2"]
SIX = ["train", *ENDLESS, *TOGETHER, "cv=kfold", "cv.folds=6", "--name", "six"]


def ledgers(runs_dir: Path) -> list[Ledger]:
    return [Ledger.load(file.parent) for file in runs_dir.glob("*/*/artifacts/ledger.json")]


def test_folds_of_two_workers_give_the_figures_of_each_alone(tmp_path: Path) -> None:
    alone = dlcli.train([*FOLDS, "executor.stack=false", f"runs_dir={tmp_path / 'alone'}"])
    planned, finished = [], []

    def listen(event: Event) -> None:
        match event:
            case JobsPlanned(_, jobs):
                planned.append(jobs)
            case JobFinished(index):
                finished.append(index)

    two = train([*FOLDS, *TOGETHER, f"runs_dir={tmp_path / 'two'}"], listen=listen)
    folds = [Ledger.load(fold.run_dir) for fold in two.folds]
    assert [fold.result[SHARING]["runs"] for fold in folds] == [2] * 4
    assert sorted(Counter(fold.pid for fold in folds).values()) == [2, 2]
    assert os.getpid() not in {fold.pid for fold in folds}
    assert_same_folds(two, alone)
    assert "4 of 4 training runs took their steps together" in " ".join(two.messages)
    assert planned == [4]
    assert sorted(finished) == [0, 1, 2, 3]


def test_trials_begin_together_only_if_their_points_follow_from_no_result(tmp_path: Path) -> None:
    begun: list[Trial] = []
    others: dict[int, int] = {}  # number of a trial to the number of running ones when it began
    recorded: list[
        tuple[int, int]
    ] = []  # trials that had begun, and running ones, when the end of one was recorded

    def listen(event: Event) -> None:
        running = [trial for trial in begun if trial.state == "running"]
        match event:
            case TrialStarted(trial):
                others[trial.number] = len(running)
                begun.append(trial)
            case TrialEnded():
                recorded.append((len(begun), len(running)))

    space = ["model.dropout=0.1,0.3", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "sweep/sampler=tpe"]
    words = [*WORDS, *space, "sweep.sampler.startup_trials=4", "sweep.trials=12", "sweep.refit=false"]
    sweep([*words, *TOGETHER, f"runs_dir={tmp_path}"], listen=listen)
    assert [others[number] for number in range(4)] == [0, 1, 2, 3]
    assert max(others[number] for number in range(4, 12)) <= 1
    assert len(recorded) == 12
    assert any(number > 4 and running == 2 for number, running in recorded)  # its successor has begun
    trials = [one for one in ledgers(tmp_path) if one.kind == "trial"]
    assert Counter(one.result[SHARING]["runs"] for one in trials) == {2: 4, 1: 8}


def test_a_pruned_trial_leaves_the_others_of_its_worker_running(tmp_path: Path) -> None:
    # The first of each worker learns, the others do not.
    rates = "optimizer.lr=0.05,1e-6,1e-7,0.06,2e-6,2e-7"
    words = [*WORDS, rates, "sweep/sampler=grid", "sweep/pruner=asha", "callbacks=none", "sweep.refit=false"]
    words += ["trainer.max_epochs=300", "executor.stack=3", "executor.jobs=2", f"runs_dir={tmp_path}"]
    result = dlcli.sweep(words)
    assert len(result.trials) == 6
    trials = [one for one in ledgers(tmp_path) if one.kind == "trial"]
    states = Counter(one.status for one in trials)
    assert states["KILLED"] in (4, 5)
    assert states["FINISHED"] == 6 - states["KILLED"]
    assert {one.result[SHARING]["runs"] for one in trials if one.status == "FINISHED"} == {3}


def test_only_the_trial_that_ends_its_process_fails(tmp_path: Path) -> None:
    killed: list[int] = []

    def listen(event: Event) -> None:
        match event:
            case TrialEvent(trial, EpochDone(epoch)) if trial.number == 1 and epoch > 0:
                if (pid := Ledger.load(trial.run_dir).pid) not in killed:
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)

    words = [
        *WORDS,
        "optimizer.lr=0.01,0.02,0.03,0.04",
        "sweep/sampler=grid",
        "sweep.refit=false",
        "callbacks=none",
    ]
    sweep([*words, *TOGETHER, "trainer.max_epochs=300", f"runs_dir={tmp_path}"], listen=listen)
    assert len(killed) == 2  # that of two trials, and then its own
    trials = sorted(
        (one for one in ledgers(tmp_path) if one.kind == "trial"), key=lambda one: one.tags["dlcli.trial"]
    )
    assert [one.status for one in trials] == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    assert "the worker process ended with SIGKILL" in str(trials[1].error)
    replaced = [one.tags.get(REPLACED_TAG, "") for one in trials]
    together = "the worker process was replaced: it ended with SIGKILL while it trained 2 runs together"
    assert Counter(replaced) == {"": 2, together: 2}
    assert replaced[1]


def test_ctrl_c_and_the_end_of_a_driver_end_the_runs_of_its_workers(tmp_path: Path) -> None:
    process = start(SIX, tmp_path)
    wait_until(lambda: len(training(tmp_path / "runs")) == 6, process)
    left = [*children(process.pid, TEMPLATE), *workers_of(process.pid)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert not any(one.is_running() for one in left)
    assert [one.status for one in ledgers(tmp_path / "runs")] == ["KILLED"] * 7
    before = {
        one.run_dir: (one.run_dir / "metrics.jsonl").stat().st_size for one in ledgers(tmp_path / "runs")
    }

    process = start(["resume", "six"], tmp_path)  # runs with a checkpoint are trained alone, two at a time
    wait_until(
        lambda: sum((f / "metrics.jsonl").stat().st_size > size for f, size in before.items()) >= 2, process
    )
    process.kill()
    process.communicate()


@pytest.mark.parametrize("end", ["suspend", "kill"])
def test_runs_of_a_lost_worker_continue_in_new_processes(end: str, tmp_path: Path) -> None:
    stopped = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, JobEvent) and not stopped.is_set() and len(training(tmp_path)) == 4:
            stopped.set()
            getattr(workers_of(os.getpid())[0], end)()

    words = [*FOLDS, *TOGETHER, "trainer.max_epochs=300", "callbacks=none", "executor.silence=2"]
    result = train([*words, f"runs_dir={tmp_path}"], listen=listen)
    assert stopped.is_set()
    folds = [Ledger.load(fold.run_dir) for fold in result.folds]
    assert [fold.status for fold in folds] == ["FINISHED"] * 4
    assert sum(REPLACED_TAG in fold.tags for fold in folds) == 2


def test_a_time_limit_of_a_sweep_is_the_reason_for_trials_alone(tmp_path: Path) -> None:
    words = [*WORDS, "optimizer.lr=tag(log,interval(1e-3,1e-1))", "sweep/sampler=random", "sweep.refit=false"]
    words += [
        "sweep.trials=4",
        "sweep.timeout=1h",
        "executor.stack=4",
        "executor.jobs=2",
        f"runs_dir={tmp_path}",
    ]
    result = sweep(words, listen=ignore)
    assert result.stack == "4 training runs took their steps alone: a time limit of the sweep."

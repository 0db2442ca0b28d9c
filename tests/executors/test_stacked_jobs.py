"""Jobs that are trained together, as one model."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.datasets.data import Data
from dlcli.errors import DlcliError, Interrupted, TrainingError
from dlcli.events import ignore
from dlcli.executors.stack_size import JobLayout, job_layout, why_alone
from dlcli.job import SHARING
from dlcli.result import Result
from dlcli.runner.train import train
from dlcli.stacking.stack import Stack
from dlcli.tracking.history import read_history
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import STACK_TAG
from dlcli.training import checkpoints

WORDS = ["dataset=iris", "model=mlp", "model.hidden=8", "trainer.max_epochs=2", "optimizer.lr=0.01"]
FOLDS = [*WORDS, "cv=kfold", "cv.folds=2", "cv.seeds=2"]

# Measured times, which differ.
_TIMES = ("samples_per_second", "latency", "duration")


@pytest.fixture(name="alone", scope="module")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return dlcli.train([*FOLDS, "executor.stack=false", f"runs_dir={tmp_path_factory.mktemp('alone')}"])


def assert_close(one: dict[str, float], other: dict[str, float]) -> None:
    assert one.keys() == other.keys()
    measured = {name: value for name, value in one.items() if not any(word in name for word in _TIMES)}
    assert measured == pytest.approx(
        {name: other[name] for name in measured}, abs=1e-5, rel=1e-5, nan_ok=True
    )


def assert_same_folds(one: Result, other: Result) -> None:
    assert_close(one.values, other.values)
    for fold, expected in zip(one.folds, other.folds, strict=True):
        assert_close(fold.values, expected.values)
        own, known = ([(e.step, e.metrics) for e in read_history(f.run_dir)] for f in (fold, expected))
        for (step, figures), (other_step, other_figures) in zip(own, known, strict=True):
            assert step == other_step
            assert_close(figures, other_figures)


def test_folds_and_seeds_that_are_trained_together_give_the_figures_of_each_alone(
    alone: Result, tmp_path: Path
) -> None:
    together = train([*FOLDS, "executor.stack=true", f"runs_dir={tmp_path}"], listen=ignore)
    assert_same_folds(together, alone)
    assert [Ledger.load(fold.run_dir).result[SHARING]["runs"] for fold in together.folds] == [4] * 4
    assert "4 of 4 training runs took their steps together" in " ".join(together.messages)
    assert "4 of 4" in Ledger.load(together.run_dir).tags[STACK_TAG] == together.to_json()["stack"]
    assert SHARING not in Ledger.load(alone.folds[0].run_dir).result
    assert STACK_TAG not in Ledger.load(alone.run_dir).tags  # stacking is off


def test_folds_that_are_interrupted_together_are_resumed(
    alone: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, calls = Stack.take, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted(signal.SIGTERM)
        return take(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "take", interrupted)
        patch.setattr(checkpoints, "_EPOCH_SECONDS", -1.0)  # each epoch is written
        patch.setattr(checkpoints, "_SECONDS_EACH", -1.0)
        with pytest.raises(Interrupted):
            dlcli.train([*FOLDS, "executor.stack=true", f"runs_dir={tmp_path}"])
    ledgers = [Ledger.load(file.parent) for file in tmp_path.glob("*/*/artifacts/ledger.json")]
    assert [ledger.status for ledger in ledgers] == ["KILLED"] * 5
    (parent,) = (ledger for ledger in ledgers if ledger.parent_id is None)
    resumed = dlcli.resume(str(parent.run_dir))
    assert_same_folds(resumed, alone)
    assert resumed.messages[-1] == "4 training runs took their steps alone: continued from a checkpoint."


def test_a_sweep_begins_no_more_trials_together_than_may_fail(tmp_path: Path) -> None:
    words = [*WORDS, "optimizer=sgd", "optimizer.lr=1e30,2e30,3e30,4e30", "sweep.max_failures=2"]
    with pytest.raises(DlcliError, match="2 trials of 2 failed"):
        dlcli.sweep([*words, "executor.stack=true", f"runs_dir={tmp_path}"])
    ledgers = [Ledger.load(file.parent) for file in tmp_path.glob("*/*/artifacts/ledger.json")]
    assert [ledger.status for ledger in ledgers if ledger.kind == "trial"] == ["FAILED"] * 2


def test_a_fold_that_fails_stops_the_others(tmp_path: Path) -> None:
    words = [*FOLDS, "executor.stack=true", "optimizer=sgd", "optimizer.lr=1e30", f"runs_dir={tmp_path}"]
    with pytest.raises(TrainingError, match="loss became"):
        dlcli.train(words)
    ledgers = [Ledger.load(file.parent) for file in tmp_path.glob("*/*/artifacts/ledger.json")]
    assert sorted(ledger.status for ledger in ledgers) == ["FAILED"] * 2 + ["KILLED"] * 3


@pytest.mark.parametrize("sampler", ("grid", "tpe"))
def test_trials_that_are_trained_together_are_those_of_a_sweep_one_by_one(
    sampler: str, tmp_path: Path
) -> None:
    words = [*WORDS, "model.dropout=0.1,0.3", "optimizer.lr=0.01,0.02", f"sweep/sampler={sampler}"]
    words += ["sweep.trials=4", "cv.folds=2", "cv=kfold"] if sampler == "grid" else ["sweep.trials=3"]
    words += ["sweep.sampler.startup_trials=2"] if sampler == "tpe" else []
    found = [
        dlcli.sweep([*words, f"executor.stack={stack}", f"runs_dir={tmp_path / stack}"])
        for stack in ("false", "true")
    ]
    for one, other in zip(found[0].trials, found[1].trials, strict=True):
        assert one["params"] == other["params"]
        assert one["value"] == pytest.approx(other["value"], abs=1e-5)
        assert_close(one["metrics"], other["metrics"])
    expected = "8 of 8 training runs" if sampler == "grid" else "2 of 3 training runs"
    assert expected in " ".join(found[1].messages)


def test_what_is_not_stacked_says_why() -> None:
    config: dict[str, Any] = {
        "executor": {"stack": "auto", "jobs": "auto", "job_timeout": None, "silence": None},
        "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 1000},
        "model": {"_target_": "dlcli.models.mlp.MLP", "hidden": 16, "layers": 2},
        "dataset": {"batch_size": 32},
        "optimizer": {"_target_": "torch.optim.Adam"},
    }
    rows = Data(
        "rows", "table", pd.DataFrame({"a": [1.0] * 9}), np.array([0, 1, 2] * 3), classes=("a", "b", "c")
    )
    assert job_layout(config, 5, rows) == JobLayout(1, 5)
    assert job_layout(config, 1, rows) == JobLayout(1, 1)
    changes: dict[str, dict[str, Any]] = {
        "executor.stack is off": {"executor": {"stack": False}},
        "5 processes run one each": {"executor": {"jobs": 9}},
        "a time limit of a job": {"trainer": {"max_time": "00:00:10:00"}},
        "a setting of the trainer that needs single steps": {"trainer": {"gradient_clip_val": 1.0}},
        "the model": {"model": {"_target_": "dlcli.models.tabm.TabM"}},
        "the optimizer": {"optimizer": {"_target_": "torch.optim.RMSprop"}},
        "weight_averaging": {"weight_averaging": {"_target_": "dlcli.training.averaging.EMA"}},
        "steps of": {"model": {"hidden": 2048}},
    }
    for reason, change in changes.items():
        changed = {**config, **{name: {**config.get(name, {}), **own} for name, own in change.items()}}
        assert why_alone(changed, rows, 5).startswith(reason)
        assert job_layout(changed, 5, rows).stack == 1
    short = {**config, "trainer": {**config["trainer"], "max_epochs": 2}}
    assert why_alone(short, rows, 5) == "10 steps, which are too few to save time"
    assert job_layout(short, 5, rows) == JobLayout(1, 1)
    large = {
        **config,
        "executor": {**config["executor"], "stack": True},
        "model": {**config["model"], "hidden": 2048},
    }
    assert job_layout(large, 5, rows) == JobLayout(1, 5)
    three = {**config, "executor": {**config["executor"], "stack": 3}}
    assert job_layout(three, 5, rows) == JobLayout(1, 3)


def test_processes_share_the_jobs_that_are_trained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.executors.at_once.share", lambda: 2)
    rows = Data("rows", "table", np.zeros((6400, 4)), np.zeros(6400, dtype=np.int64), classes=("a", "b"))

    def layout(count: int, epochs: int, **executor: Any) -> JobLayout:
        config: dict[str, Any] = {
            "executor": {"stack": "auto", "jobs": "auto", **executor},
            "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": epochs},
            "model": {"_target_": "dlcli.models.mlp.MLP", "hidden": 16, "layers": 2},
            "dataset": {"batch_size": 64},
            "optimizer": {"_target_": "torch.optim.Adam"},
        }
        return job_layout(config, count, rows)

    assert layout(10, 10, jobs=2) == JobLayout(2, 5)
    assert layout(11, 10, jobs=2) == JobLayout(2, 6)
    assert layout(100, 10, jobs=2) == JobLayout(2, 25), "two rounds of 25 instead of 32 and 18"
    assert layout(10, 10, jobs=2, stack=3) == JobLayout(2, 3)
    assert layout(10, 10, jobs=2, stack=False) == JobLayout(2, 1)
    assert layout(2, 100, jobs=2) == JobLayout(2, 1)
    assert layout(10, 1, jobs=2) == JobLayout(2, 1), "too few steps"
    # With auto, each of ten jobs takes 100 steps in an epoch.
    assert layout(10, 49) == JobLayout(1, 10), "the start of the processes takes longer"
    assert layout(10, 51) == JobLayout(2, 5)
    assert layout(2, 200) == JobLayout(1, 2)
    assert layout(2, 400) == JobLayout(2, 1)
    monkeypatch.setattr("dlcli.executors.at_once.free_memory", lambda: 1 << 28)
    assert layout(10, 51) == JobLayout(1, 10), "too little memory for two processes"


# Kills the process when a stack is about to take the steps of the second epoch.
_KILLED = """
import os, signal, sys
import dlcli
from dlcli.stacking.stack import Stack
take, calls = Stack.take, []
def killing(*arguments):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(*arguments)
Stack.take = killing
dlcli.train(sys.argv[1:])
"""


@pytest.mark.slow
def test_folds_that_are_killed_together_are_resumed(alone: Result, tmp_path: Path) -> None:
    words = [*FOLDS, "executor.stack=true", f"runs_dir={tmp_path}"]
    ended = subprocess.run([sys.executable, "-c", _KILLED, *words], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    ledgers = [Ledger.load(file.parent) for file in tmp_path.glob("*/*/artifacts/ledger.json")]
    assert [ledger.status for ledger in ledgers] == ["RUNNING"] * 5
    (parent,) = (ledger for ledger in ledgers if ledger.parent_id is None)
    resumed = dlcli.resume(str(parent.run_dir))
    assert_same_folds(resumed, alone)
    assert {fold.status for fold in resumed.folds} == {"FINISHED"}

"""Training in two processes over gloo: the same result, one run, and all processes end together."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

import dlcli
from dlcli.distributed.ranks import gathered
from dlcli.distributed.recruits import keep_ranks, started_ranks
from dlcli.errors import ConfigError, Interrupted, TrainingError
from dlcli.events import Event, JobEvent, StepsDone
from dlcli.experiment import plan_experiment
from dlcli.process.interrupts import interruptible
from dlcli.process.quiet import quiet
from dlcli.reports.diagnosis import LOSS_SE, RISE_SE
from dlcli.runner.resume import resume
from dlcli.runner.train import train
from dlcli.runs.folder import recorded_epochs
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.search_in_folds import plan_nested
from dlcli.tracking.ledger import Ledger
from dlcli.training.loader import BatchLoader
from tests.processes import ENDLESS, children, epochs, run_folder, start, wait_until

TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
# A batch that cannot be divided equally between two processes, and a last one of 12 rows.
IRIS = ["dataset=iris", "model=mlp", "model.hidden=16", "dataset.batch_size=15", "trainer.max_epochs=3"]


def test_ranks_read_each_batch_once_and_none_is_empty() -> None:
    for rows in (9, 10, 13):
        loaders = [
            BatchLoader({"x": torch.arange(rows)}, 4, shuffle=True, rank=rank, ranks=3) for rank in range(3)
        ]
        whole = list(BatchLoader({"x": torch.arange(rows)}, 4, shuffle=True))
        read = []
        for parts in zip(*loaders, strict=True):
            assert all(len(part["x"]) for part in parts)
            assert sum(float(part["rank_weight"]) for part in parts) == pytest.approx(3)
            mean = sum(part["x"].float().mean() * part["rank_weight"] for part in parts) / 3
            joined = torch.cat([part["x"] for part in parts])
            assert mean == pytest.approx(float(joined.float().mean()))
            read.append(joined)
        assert torch.equal(torch.cat(read), torch.cat([batch["x"] for batch in whole]))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["dataset.batch_size=1"], "a batch of 1 cannot be divided among 2 devices"),
        (["executor.jobs=2"], "executor.jobs: parallel jobs share the devices"),
        (["trainer.strategy=fsdp"], "trainer"),
        (["trainer.num_nodes=2"], "trainer.num_nodes: training on 2 machines requires a launcher"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_shared(overrides: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        dlcli.train([*IRIS, *TWO, *overrides, f"runs_dir='{tmp_path}'"])
    assert not list(tmp_path.rglob("ledger.json"))


def test_a_search_is_led_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    nested = [*IRIS, "trainer.accelerator=cpu", "cv=nested", "cv.space={optimizer.lr:[0.1,0.01]}"]
    experiment = plan_experiment(nested)
    assert plan_nested(experiment, nested)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="a sweep cannot run under torchrun or srun"):
        plan_sweep([*IRIS, "optimizer.lr=0.1,0.01"])
    with pytest.raises(ConfigError, match="cv=nested cannot run under"):
        plan_nested(experiment, nested)


@pytest.fixture(scope="module", autouse=True)
def _staying() -> Iterator[None]:
    """Idle ranks of a test are used by the next one."""
    with keep_ranks():
        yield


class _At:
    """Performs an action once, after a number of steps of rank 0."""

    def __init__(self, steps: int, act: Callable[[], None]) -> None:
        self._left = steps
        self._act = act

    def __call__(self, event: Event) -> None:
        match event:
            case JobEvent(_, StepsDone(steps)):
                before, self._left = self._left, self._left - steps
                if before > 0 >= self._left:
                    self._act()


def _ranks() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "dlcli.job" in child.cmdline()]


@pytest.mark.slow
def test_all_ranks_end_with_the_first_and_training_resumes(tmp_path: Path) -> None:
    endless = ["trainer.max_epochs=-1", "trainer.max_time=01:00:00:00"]
    process = start(["train", *ENDLESS, *TWO, *endless], tmp_path)
    wait_until(lambda: epochs(tmp_path / "runs") > 1, process)
    ranks = children(process.pid, "dlcli.job")
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert ranks
    assert not alive
    so_far = epochs(tmp_path / "runs")
    done = dlcli.resume("last", [f"trainer.max_epochs={so_far + 2}"])
    assert done.status == "FINISHED"
    assert epochs(tmp_path / "runs") == so_far + 2


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["trainer.gradient_clip_val=0.1", "weight_averaging=ema", "monitor=val/auroc", "mode=max"],
        ["trainer.accumulate_grad_batches=4"],  # 7 batches, the last one of 12 rows
    ],
    ids=["chunks", "single steps", "accumulation"],
)
def test_two_processes_give_what_one_gives(more: list[str], tmp_path: Path) -> None:
    one = dlcli.train([*IRIS, *more, "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/one'"])
    two = dlcli.train([*IRIS, *more, *TWO, f"runs_dir='{tmp_path}/two'"])
    assert two.values == pytest.approx(one.values, abs=1e-5)
    weights = [load_file(result.run_dir / "model" / "weights.safetensors") for result in (one, two)]
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, atol=1e-5, rtol=1e-4)
    assert len(list((tmp_path / "two").rglob("ledger.json"))) == 1
    assert not torch.distributed.is_initialized()


class _Killed(BaseException):
    """Stands in for a kill of rank 0: no code catches it."""


@pytest.mark.slow
def test_two_processes_that_are_killed_and_resumed_equal_the_uninterrupted_ones(tmp_path: Path) -> None:
    """The bits of `strategy=ddp`, as `tests/training/test_resume_property.py` compares those of other arguments."""
    settings = [
        *IRIS,
        "model.dropout=0.3",
        "scheduler=step",
        "trainer.strategy=ddp",
        "trainer.devices=2",
        "trainer.accelerator=cpu",
        "trainer.gradient_clip_val=0.05",
        "tracking.checkpoint_minutes=0.00001",
    ]

    def kill() -> None:
        raise _Killed

    whole = train(settings, runs_dir=tmp_path / "whole")
    with quiet(), pytest.raises(_Killed):
        train(settings, runs_dir=tmp_path / "killed", listen=_At(7 + 4, kill))  # 7 steps per epoch
    seen: list[int] = []
    resumed = resume("last", runs_dir=tmp_path / "killed", listen=_At(1, lambda: seen.append(1)))
    assert seen, "nothing was left to resume"
    assert resumed.values == whole.values
    epochs_of = [recorded_epochs(result.run_dir) for result in (whole, resumed)]
    measured = [
        [{k: v for k, v in epoch.items() if "seconds" not in k and "per_second" not in k} for epoch in run]
        for run in epochs_of
    ]
    assert measured[1] == measured[0]
    weights = [load_file(result.run_dir / "model" / "weights.safetensors") for result in (whole, resumed)]
    for name, values in weights[0].items():
        assert torch.equal(weights[1][name], values), name


@pytest.mark.slow
def test_a_signal_ends_all_ranks_and_training_resumes_within_the_epoch(tmp_path: Path) -> None:
    # 60 steps per epoch, each through Lightning: the second epoch is stopped 4 steps after its second checkpoint.
    steps = [
        *IRIS,
        "dataset.batch_size=2",
        "trainer.gradient_clip_val=1",
        "tracking.checkpoint_minutes=0.00001",
    ]
    terminate = _At(60 + 36, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with quiet(), pytest.raises(Interrupted, match="SIGTERM") as stopped, interruptible():
        train([*steps, *TWO], runs_dir=tmp_path / "two", listen=terminate)
    ledger = Ledger.load(run_folder(tmp_path / "two"))
    assert ledger.status == "KILLED"
    assert f"Resume it: dlcli resume {ledger.run_id[:8]} --runs-dir two" in stopped.value.__notes__
    assert not _ranks()
    seen: list[int] = []
    two = resume("last", runs_dir=tmp_path / "two", listen=_At(28, lambda: seen.append(1)))
    one = dlcli.train([*steps, "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/one'"])
    assert seen
    assert two.values == pytest.approx(one.values, abs=1e-4)
    both = [recorded_epochs(result.run_dir) for result in (one, two)]
    for alone, together in zip(*both, strict=True):
        assert together.keys() == alone.keys()
        # Standard errors are of groups of rows, which are others where two processes share the rows.
        shared = [key for key in alone if key not in (LOSS_SE, RISE_SE)]
        assert [together[key] for key in shared] == pytest.approx([alone[key] for key in shared], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGKILL, "rank 1 of 2 ended with SIGKILL"),
        (signal.SIGSTOP, r"rank 1 of 2 was stopped \(SIGSTOP\) for 1s and was killed"),
    ],
)
def test_a_rank_that_dies_or_is_stopped_ends_training(
    number: signal.Signals, told: str, tmp_path: Path
) -> None:
    idle = set(_ranks())  # left by an earlier test, with another limit
    act = _At(40, lambda: (set(_ranks()) - idle).pop().send_signal(number))
    with quiet(), pytest.raises(TrainingError, match=told):
        train([*ENDLESS, *TWO, "executor.silence=1"], runs_dir=tmp_path, listen=act)
    ledger = Ledger.load(run_folder(tmp_path))
    assert ledger.status == "FAILED"
    assert re.search(told, ledger.error)
    assert set(_ranks()) == idle


def _pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, life: str) -> None:
    """Replace the program of the ranks."""
    package = folder / "dlcli"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "job.py").write_text(life)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def test_a_rank_that_cannot_come_is_reported_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(tmp_path, monkeypatch, "print('a warning')\nraise SystemExit('no such device\\n')")
    trainer = {"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu", "devices": 3, "strategy": "ddp"}
    told = "rank [12] of 3 ended with exit code 1: no such device"
    with pytest.raises(TrainingError, match=told), gathered({"trainer": trainer}) as (_, world):
        assert world
        with world.joined(torch.device("cpu")):
            pytest.fail("it has not come")


def test_ranks_end_where_a_further_one_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(tmp_path, monkeypatch, "import time\ntime.sleep(600)")
    started = []

    class OnlyOne(subprocess.Popen):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if started:
                raise BlockingIOError("no more processes")
            started.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", OnlyOne)
    with pytest.raises(BlockingIOError), started_ranks(3, 7):
        pytest.fail("one is missing")
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.slow
def test_torchrun_s_processes_are_taken_as_they_are(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "dlcli", "train", *IRIS, *TWO, "cv=kfold", "cv.folds=2", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run_id") == 3  # the parent and two folds, printed once
    assert len(list(tmp_path.rglob("ledger.json"))) == 3
    assert json.loads(done.stdout)["status"] == "FINISHED"

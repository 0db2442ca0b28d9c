"""One training in two processes over gloo: the same result, one run, and one end for all."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

import dlcli
from dlcli.errors import ConfigError
from dlcli.tracking.ledger import Ledger
from dlcli.training.loader import BatchLoader
from tests.processes import ENDLESS, epochs, run, run_folder, start, wait_until

TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
# A batch that two processes cannot halve, and a last one of 12 rows.
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
    "more", [[], ["trainer.gradient_clip_val=0.1", "weight_averaging=ema"]], ids=["chunks", "single steps"]
)
def test_two_processes_give_what_one_gives(more: list[str], tmp_path: Path) -> None:
    one = dlcli.train([*IRIS, *more, "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/one'"])
    two = dlcli.train([*IRIS, *more, *TWO, f"runs_dir='{tmp_path}/two'"])
    assert two.metrics == pytest.approx(one.metrics, abs=1e-5)
    weights = [load_file(result.run_dir / "model" / "weights.safetensors") for result in (one, two)]
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, atol=1e-5, rtol=1e-4)
    assert len(list((tmp_path / "two").rglob("ledger.json"))) == 1
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["dataset.batch_size=1"], "a batch of 1 cannot be shared by 2 devices"),
        (["executor.jobs=2"], "executor.jobs: trainings side by side share the devices out"),
        (["trainer.strategy=fsdp"], "trainer"),
        (["trainer.num_nodes=2"], "trainer.num_nodes: 2 machines train together only where"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_shared(overrides: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        dlcli.train([*IRIS, *TWO, *overrides, f"runs_dir='{tmp_path}'"])
    assert not list(tmp_path.rglob("ledger.json"))


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_training(tmp_path: Path) -> None:
    process = start(["train", *ENDLESS, *TWO], tmp_path)
    wait_until(lambda: epochs(tmp_path / "runs") > 1, process)
    (rank,) = psutil.Process(process.pid).children()
    rank.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "rank 1 of 2 ended with SIGKILL" in err
    ledger = Ledger.load(run_folder(tmp_path / "runs"))
    assert ledger.status == "FAILED"
    assert "rank 1 of 2 ended with SIGKILL" in ledger.error


@pytest.mark.slow
def test_ranks_end_with_the_first_and_the_training_goes_on(tmp_path: Path) -> None:
    process = start(["train", *ENDLESS, *TWO], tmp_path)
    wait_until(lambda: epochs(tmp_path / "runs") > 1, process)
    ranks = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert not alive
    so_far = epochs(tmp_path / "runs")
    done = run(["resume", "last", f"trainer.max_epochs={so_far + 2}"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert epochs(tmp_path / "runs") == so_far + 2
    assert Ledger.load(run_folder(tmp_path / "runs")).status == "FINISHED"


@pytest.mark.slow
def test_torchrun_s_processes_are_taken_as_they_are(tmp_path: Path) -> None:
    import subprocess

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "dlcli", "train", *IRIS, *TWO, "cv=kfold", "cv.folds=2", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run_id") == 3  # the parent and two folds, said once
    assert len(list(tmp_path.rglob("ledger.json"))) == 3
    alone = dlcli.train([*IRIS, "trainer.accelerator=cpu", "cv=kfold", "cv.folds=2", "runs_dir='alone'"])
    import json

    assert json.loads(done.stdout)["metrics"] == pytest.approx(alone.metrics, abs=1e-4)

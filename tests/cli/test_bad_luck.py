"""Real processes that are stopped or run out of a resource: the record stays correct, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from dlcli.tracking.ledger import Ledger
from tests.processes import ENDLESS, epochs, run, run_folder, start, wait_until

pytestmark = pytest.mark.slow


def mlflow_status(folder: Path) -> str:
    ledger = Ledger.load(folder)
    return MlflowClient(ledger.store_uri).get_run(ledger.run_id).info.status


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
    ids=["INT", "TERM", "HUP"],
)
def test_a_signal_ends_a_run_in_order(number: signal.Signals, code: int, tmp_path: Path) -> None:
    process = start(["train", *ENDLESS], tmp_path)
    wait_until(lambda: epochs(tmp_path / "runs") > 3, process)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code, err
    assert "Traceback" not in out + err
    folder = run_folder(tmp_path / "runs")
    assert Ledger.load(folder).status == mlflow_status(folder) == "KILLED"
    assert (folder / "checkpoints" / "last.ckpt").exists()


def test_after_kill_9_the_next_command_marks_the_run(tmp_path: Path) -> None:
    process = start(["train", *ENDLESS], tmp_path)
    wait_until(lambda: epochs(tmp_path / "runs") > 3, process)
    process.kill()
    process.communicate()
    folder = run_folder(tmp_path / "runs")
    assert Ledger.load(folder).status == "RUNNING"
    done = run(["train", "dataset=iris", "model=mlp", "trainer.max_epochs=1"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert Ledger.load(folder).status == mlflow_status(folder) == "KILLED"
    assert (folder / "checkpoints" / "last.ckpt").exists()
    losses = MlflowClient(Ledger.load(folder).store_uri).get_metric_history(folder.parent.name, "train/loss")
    steps = [entry.step for entry in losses]
    assert steps == list(range(1, 1 + len(steps)))
    assert len(steps) > 3


def test_a_loss_that_becomes_nan_fails_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    done = run(["train", "dataset=iris", "model=mlp", "optimizer=sgd", "optimizer.lr=1e30"], tmp_path)
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert re.search(r"the training loss became (nan|inf) in epoch 1, step \d+ of 7", text), text
    assert "Lower optimizer.lr" in text
    assert "Traceback" not in done.stderr
    folder = run_folder(tmp_path / "runs")
    assert Ledger.load(folder).status == mlflow_status(folder) == "FAILED"
    assert "Diverged" in (folder / "error.txt").read_text()


def limit_memory() -> None:
    """All but the batch is there already."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20, resource.RLIM_INFINITY))


def test_out_of_memory_names_a_batch_that_fits(tmp_path: Path) -> None:
    large = ["model.channels=[1024]", "model.pool=1", "model.hidden=0", "dataset.batch_size=1222"]
    process = start(["train", *large], tmp_path, at_first=limit_memory)
    _, err = process.communicate()
    assert process.returncode == 1, err
    text = " ".join(err.split())
    assert "a batch of 1222 rows does not fit into the memory of cpu" in text
    fits = int(re.search(r"dataset\.batch_size=(\d+) fits", text).group(1))
    assert fits in (611, 305, 152, 76)
    assert Ledger.load(run_folder(tmp_path / "runs")).status == "FAILED"


def test_a_corrupted_model_is_reported(tmp_path: Path) -> None:
    assert run(["train", "dataset=iris", "model=mlp", "trainer.max_epochs=1"], tmp_path).returncode == 0
    weights = run_folder(tmp_path / "runs") / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    done = run(["eval", "last"], tmp_path)
    assert done.returncode == 1
    assert "differs from what was recorded in digests.json: SHA-256 mismatch" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_runs_folder(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    runs.chmod(stat.S_IREAD | stat.S_IEXEC)
    done = run(["train", "dataset=iris", "model=mlp"], tmp_path)
    assert done.returncode == 2
    assert "cannot write" in done.stderr


def test_a_runs_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    done = run(["train", "dataset=iris", "model=mlp"], tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--runs-dir" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted for it: needs root")
def test_a_full_disk_fails_the_run_and_is_reported(tmp_path: Path) -> None:
    disk = tmp_path / "runs"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        process = start(["train", *ENDLESS], tmp_path)
        wait_until(lambda: epochs(disk) > 3, process)
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        _, err = process.communicate()
        assert process.returncode == 1, err
        assert "no space left" in err.lower()
        assert "Traceback" not in err
        folder = run_folder(disk)
        assert Ledger.load(folder).status == mlflow_status(folder) == "FAILED"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_several_at_once_on_a_fresh_store(tmp_path: Path) -> None:
    # Sixteen writers on one store are tested in tests/tracking: here the whole program, as often as time allows.
    several = 3
    command = ["train", "dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1"]
    processes = [start([*command, f"seed={seed}"], tmp_path) for seed in range(several)]
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    ledgers = [Ledger.load(file.parent) for file in (tmp_path / "runs").glob("*/*/artifacts/ledger.json")]
    assert len({ledger.run_id for ledger in ledgers}) == several
    runs = MlflowClient(ledgers[0].store_uri).search_runs(["1"])
    assert sorted(run.data.tags["dlcli.seed"] for run in runs) == [str(seed) for seed in range(several)]
    assert {run.info.status for run in runs} == {"FINISHED"}

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_runs import new_run

from dlcli.errors import DiskFull, TrainingError
from dlcli.tracking.ledger import Ledger, atomic_write
from dlcli.tracking.liveness import entries
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to the last byte."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as filler:
        for size in (65536, 4096, 1):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError:
                continue
    return file


def test_a_full_disk_leaves_the_old_file(small_disk: Path) -> None:
    atomic_write(small_disk / "x", "old")
    fill(small_disk)
    with pytest.raises(DiskFull, match="no space left") as caught:
        atomic_write(small_disk / "x", "new" * 10_000)
    assert caught.value.problems[0].where == str(small_disk)
    assert (small_disk / "x").read_text() == "old"
    assert {path.name for path in small_disk.iterdir()} == {"x", "filler"}


def test_a_disk_that_fills_up_in_mid_run_ends_it_failed(small_disk: Path) -> None:
    with open_store(small_disk) as store:
        run_dir = new_run(store)
        with pytest.raises(DiskFull), Recorder(run_dir) as recorder:
            recorder.log({"a": 0}, 0)
            fill(small_disk)
            for step in range(1, 100_000):
                recorder.log({f"metric-{i}": step for i in range(50)}, step)
        ledger = Ledger.load(run_dir)
        run = store.client.get_run(ledger.run_id)
        assert ledger.status == run.info.status == "FAILED"
        assert "no space left" in (ledger.error or "")
        assert "no space left" in run.data.tags["dlcli.error"]
        assert "DiskFull" in (run_dir / "error.txt").read_text()


def test_a_disk_full_under_somebody_elses_write_ends_it_failed(small_disk: Path) -> None:
    with open_store(small_disk) as store:
        run_dir = new_run(store)
        with pytest.raises(OSError, match="No space left"), Recorder(run_dir):
            fill(small_disk)
            with (run_dir / "last.ckpt").open("wb", buffering=0) as checkpoint:
                while True:
                    checkpoint.write(bytes(4096))
        ledger = Ledger.load(run_dir)
        assert ledger.status == store.client.get_run(ledger.run_id).info.status == "FAILED"
        assert entries(small_disk) == []


def test_a_child_run_that_ends_on_a_full_disk_has_finished(small_disk: Path) -> None:
    with open_store(small_disk) as store:
        parent = Ledger.load(new_run(store)).run_id
        first, second = (new_run(store, kind="fold", parent_id=parent) for _ in range(2))
        with Recorder(first, system_metrics=False):
            pass
        with Recorder(
            second, system_metrics=False
        ):  # it takes over the disk space that was held for the first
            fill(small_disk)
        assert Ledger.load(second).status == "FINISHED"


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    with open_store(small_disk) as store:
        new_run(store)
        fill(small_disk)
        with pytest.raises(DiskFull):
            new_run(store)


def test_a_folder_that_can_no_longer_be_written_ends_it_failed(small_disk: Path) -> None:
    with open_store(small_disk) as store:
        run_dir = new_run(store)
        recorder = Recorder(run_dir, system_metrics=False)
        with pytest.raises(TrainingError, match="cannot write"), recorder:
            (run_dir.parent / "moved").mkdir()
            for path in run_dir.iterdir():
                path.rename(run_dir.parent / "moved" / path.name)
            run_dir.rmdir()
            run_dir.touch()
            recorder.tag("x", "y")
        assert store.client.get_run(recorder.ledger.run_id).info.status == "FAILED"

"""`dlcli runs gc` and `du`: what can be removed, and what uses space."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.errors import InputError
from dlcli.runs.cleaning import find_garbage, remove
from dlcli.runs.deletion import delete, list_trash, plan_deletion
from dlcli.runs.disk_usage import beside_the_runs, usage_of
from dlcli.runs.inventory import list_runs, size_on_disk
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.places import FEATURES_DIR
from tests.runs.toy_ledgers import NOW, made

DAY = 86400.0


def with_checkpoint(folder: Path) -> Path:
    file = folder / "checkpoints" / "last.ckpt"
    file.parent.mkdir()
    file.write_bytes(bytes(5000))
    return file


def test_checkpoints_of_finished_runs(tmp_path: Path) -> None:
    done = with_checkpoint(made(tmp_path, "done", days=9).run_dir)
    (done.parents[1] / "model").mkdir()
    weights = done.parents[1] / "model" / "weights.safetensors"
    weights.write_bytes(b"weights")
    new = with_checkpoint(made(tmp_path, "new", days=1).run_dir)
    stopped = with_checkpoint(made(tmp_path, "stopped", days=9, status="KILLED").run_dir)
    sweep = made(tmp_path, "sweep", days=9, kind="sweep", status="KILLED")
    trial = made(tmp_path, "trial", days=9, kind="trial", parent_id=sweep.run_id)
    of_a_stopped_sweep = with_checkpoint(trial.run_dir)
    garbage = find_garbage(tmp_path, NOW, 7 * DAY)
    assert [(one.what, one.name) for one in garbage.found] == [("checkpoints", "done")]
    with HistoryWriterOf(done.parents[1]):
        assert remove(garbage) == 0  # it is in use
    assert done.exists()
    assert remove(garbage) == garbage.found[0].size > 4000
    assert not done.parent.exists() and weights.exists()
    assert new.exists() and stopped.exists() and of_a_stopped_sweep.exists()


class HistoryWriterOf:
    """A process that records a run."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def __enter__(self) -> None:
        self.writer = HistoryWriter(self.run_dir)

    def __exit__(self, *_: object) -> None:
        self.writer.close()


def test_the_trash_is_emptied_by_the_time_of_deletion(tmp_path: Path) -> None:
    made(tmp_path, "old", days=900)
    delete(plan_deletion(["old"], None, tmp_path, NOW, force=False))
    ((run, at),) = list_trash(tmp_path, NOW)
    assert at is not None
    assert find_garbage(tmp_path, NOW, DAY * 10_000).of("trash") == []
    (run.folder.parent / "deleted.json").write_text(json.dumps({"deleted_at": "2025-01-01T00:00:00+00:00"}))
    garbage = find_garbage(tmp_path, NOW, 30 * DAY)
    assert [one.name for one in garbage.found] == ["old"]
    remove(garbage)
    assert list_trash(tmp_path, NOW) == []


@pytest.mark.parametrize("content", ["{}", "[", '{"deleted_at": "yesterday"}', None])
def test_a_run_whose_time_of_deletion_is_unknown_stays(tmp_path: Path, content: str | None) -> None:
    made(tmp_path, "old", days=900)
    delete(plan_deletion(["old"], None, tmp_path, NOW, force=False))
    ((run, _),) = list_trash(tmp_path, NOW)
    file = run.folder.parent / "deleted.json"
    file.unlink() if content is None else file.write_text(content)
    garbage = find_garbage(tmp_path, NOW, 60)
    assert garbage.of("trash") == []
    assert "1 run in the trash is kept" in garbage.notes[0]
    assert len(find_garbage(tmp_path, NOW, 0).of("trash")) == 1
    listed = CliRunner().invoke(app, ["runs", "restore", "--runs-dir", str(tmp_path)])
    assert listed.exit_code == 0 and "old" in listed.stdout


def test_features_in_use_stay(tmp_path: Path) -> None:
    store = tmp_path / FEATURES_DIR / "old"
    store.mkdir(parents=True)
    (store / "known").write_bytes(bytes(9))
    found = find_garbage(tmp_path, NOW, 0).of("features")
    assert [one.name for one in found] == []  # NOW is before the files' time
    os.utime(store / "known", (NOW.timestamp() - DAY,) * 2)
    with FileLock(store / "03.lock"):
        os.utime(store / "03.lock", (NOW.timestamp() - DAY,) * 2)
        os.utime(store, (NOW.timestamp() - DAY,) * 2)
        assert find_garbage(tmp_path, NOW, 0).of("features") == []
    garbage = find_garbage(tmp_path, NOW, 0)
    assert [one.name for one in garbage.of("features")] == ["old"]
    with FileLock(store / "03.lock"):
        assert remove(garbage) == 0
    assert store.is_dir()
    assert remove(garbage) > 0
    assert not store.exists()


def test_features_and_temporary_files(tmp_path: Path) -> None:
    made(tmp_path, "run")
    for name, days in (("old", 40), ("new", 1)):
        store = tmp_path / FEATURES_DIR / name
        store.mkdir(parents=True)
        (store / "features.npy").write_bytes(bytes(9000))
        for path in (store / "features.npy", store):
            os.utime(path, (NOW.timestamp() - days * DAY,) * 2)
    (folder,) = tmp_path.glob("iris/*/artifacts")
    left = [folder / ".config.yaml.dlcli-01234567.tmp", tmp_path / ".x.dlcli-01234567.tmp"]
    for file in left:
        file.write_bytes(bytes(100))
    (folder / "notes.tmp").touch()
    garbage = find_garbage(tmp_path, NOW, 30 * DAY)
    assert sorted((one.what, one.name) for one in garbage.found) == [
        ("features", "old"),
        ("temporary", ".config.yaml.dlcli-01234567.tmp"),
        ("temporary", ".x.dlcli-01234567.tmp"),
    ]
    remove(garbage)
    assert [path.name for path in (tmp_path / FEATURES_DIR).iterdir()] == ["new"]
    assert not any(file.exists() for file in left)
    assert (folder / "notes.tmp").exists()


def test_a_kind_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is nothing that can be removed"):
        find_garbage(tmp_path, NOW, 1, ["everything"])


def test_disk_usage_is_shown(tmp_path: Path) -> None:
    cv = made(tmp_path, "cv", kind="cv")
    fold = made(tmp_path, "fold", kind="fold", parent_id=cv.run_id)
    with_checkpoint(fold.run_dir)
    (cv.run_dir / "plots").mkdir()
    (cv.run_dir / "plots" / "a.png").write_bytes(bytes(20_000))
    (run,) = list_runs(tmp_path, NOW)
    usage = usage_of(run)
    assert sum(usage.sizes.values()) == run.size
    assert usage.sizes["pictures"] == size_on_disk(cv.run_dir / "plots") >= 20_000
    assert usage.sizes["checkpoints"] == size_on_disk(fold.run_dir / "checkpoints") >= 5000
    assert beside_the_runs(tmp_path)["cached features"] == 0


def test_the_commands_that_free_disk_space(tmp_path: Path) -> None:
    with_checkpoint(made(tmp_path, "done", days=9).run_dir)

    def dlcli(*words: str) -> str:
        done = CliRunner().invoke(app, ["runs", *words, "--runs-dir", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "done " in dlcli("du")
    assert json.loads(dlcli("du", "--json"))["runs"][0]["size_bytes"]["checkpoints"] > 4000
    shown = dlcli("gc")
    assert "checkpoints      1" in shown
    assert "Nothing was removed: add --yes." in shown
    assert json.loads(dlcli("gc", "--only", "trash", "--json"))["found"] == []
    assert "Freed " in dlcli("gc", "--yes")
    assert "There is nothing to remove" in dlcli("gc", "--yes")

"""Folders of runs whose creation was interrupted: removed, unless they hold what the creation did not write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_runs import new_run

from dlcli.errors import DiskFull
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.liveness import ACTIVE_DIR, entries, read_entry
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import Store
from dlcli.tracking.unrecorded import remove_unrecorded

FILES = {"config.yaml": "a: 1", "code/m/x.py": "", "split.npz": b"1"}
ABANDONED = ".config.yaml.dlcli-0123abcd.tmp"


@pytest.fixture
def half_made(store: Store) -> Path:
    """A run whose process was killed before it wrote the ledger, and while it wrote a file."""
    run_dir = new_run(store, files=FILES)
    (run_dir / LEDGER_FILE).unlink()
    (run_dir / ABANDONED).touch()
    (run_dir / "code" / "m" / ABANDONED).touch()
    store.close()
    return run_dir


def test_a_run_that_was_not_recorded_is_removed(store: Store, half_made: Path) -> None:
    assert reconcile(store.runs_dir, store) == []
    assert not half_made.parent.exists()
    assert entries(store.runs_dir) == []
    assert store.client.get_run(half_made.parent.name).info.status == "KILLED"


def test_it_is_removed_without_the_store_that_contained_it(store: Store, half_made: Path) -> None:
    (store.runs_dir / "mlflow.db").unlink()
    assert reconcile(store.runs_dir) == []
    assert not half_made.parent.exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "notes.txt", "code/y.py", "model/weights.safetensors"])
def test_files_that_the_creation_did_not_write_are_kept_and_reported(
    store: Store, half_made: Path, name: str
) -> None:
    (half_made / name).parent.mkdir(exist_ok=True)
    (half_made / name).write_text("1")
    (note,) = reconcile(store.runs_dir, store)
    assert note.endswith(
        f"{half_made.parent.name}/artifacts has no ledger.json, and is not a run. Delete it."
    )
    assert (half_made / name).exists() and (half_made / "config.yaml").exists()
    assert not list(half_made.rglob("*.tmp"))


def test_a_run_that_cannot_be_recorded_leaves_no_folder(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DiskFull("no space left", "x", "")

    before = set(store.runs_dir.glob("exp/*"))
    monkeypatch.setattr(Ledger, "update", full)
    with pytest.raises(DiskFull):
        new_run(store, files=FILES)
    assert set(store.runs_dir.glob("exp/*")) == before
    assert entries(store.runs_dir) == []


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"run_id": "../x"},
        {"run_id": 7},
        {"run_id": "f" * 32, "files": "config.yaml"},
        {"run_id": "f" * 32, "files": ["../../../../victim/notes.txt", None, {}]},
        {"run_id": "f" * 32, "files": ["notes.txt"], "experiment": "../victim"},
    ],
)
@pytest.mark.parametrize("link", ["exp", "exp/RUN", "exp/RUN/artifacts"])
def test_nothing_elsewhere_is_removed(tmp_path: Path, entry: dict[str, Any], link: str) -> None:
    victim, runs = tmp_path / "victim", tmp_path / "runs"
    for folder in (victim, victim / "artifacts", victim / ("f" * 32) / "artifacts"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "notes.txt").write_text("precious")
        (folder / ABANDONED).touch()
    before = sorted(victim.rglob("*"))
    place = runs / link.replace("RUN", "f" * 32)
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    remove_unrecorded(runs, {"experiment": "exp", "files": ["notes.txt"], **entry})
    assert sorted(victim.rglob("*")) == before


def test_a_run_with_a_ledger_is_none_of_them(store: Store) -> None:
    run_dir = new_run(store, files=FILES)
    (entry,) = entries(store.runs_dir)
    (run_dir / LEDGER_FILE).write_text("damaged")
    assert remove_unrecorded(store.runs_dir, read_entry(entry)) is None
    assert (run_dir / "config.yaml").exists()


def test_temporary_files_of_a_run_that_has_ended_are_removed_too(store: Store) -> None:
    run_dir = new_run(store)
    ledger = Ledger.load(run_dir)
    ledger.update(status="FINISHED", ended_at="2026-01-01T00:00:00.000+00:00")
    (run_dir / "plots").mkdir()
    (run_dir / "plots" / ABANDONED).touch()
    (run_dir.parent / ".reserve").touch()
    store.close()
    reconcile(store.runs_dir, store)
    assert not list(run_dir.rglob("*.tmp")) and not (run_dir.parent / ".reserve").exists()
    assert not list((store.runs_dir / ACTIVE_DIR).iterdir())

"""A moved or copied runs folder: its store, its live runs, and where a run is resumed."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import socket
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_runs import new_run

from dlcli.config.next_command import next_command
from dlcli.config.overrides import parse
from dlcli.config.pasted import quoted
from dlcli.errors import InputError, RunNotFound, StoreError
from dlcli.runs.fetch import fetch_run
from dlcli.runs.recorded_paths import moved_path, relocated
from dlcli.tracking.connection import URI_VARIABLE, default_store, for_mlflow, sqlite_file
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import find_folder, local_path, make_folder
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.resume_target import check_places, store_for_resuming, switch_store
from dlcli.tracking.store import Store, open_store

ODD = "a b=c,d#e%20f?gé'h\"&+~;:[i]$(j)"
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=60
).filter(lambda name: name.strip(".") != "")


@settings(deadline=None, max_examples=50)
@given(NAMES, NAMES)
def test_a_path_comes_back_out_of_every_form_that_it_is_written_in(first: str, second: str) -> None:
    folder = Path("/none", first, second)
    assert local_path(folder.as_uri()) == folder
    assert sqlite_file(default_store(folder)) == folder / "mlflow.db"
    uri = for_mlflow(default_store(folder))
    assert sqlalchemy.make_url(uri).database == str(folder / "mlflow.db")
    assert not uri.startswith("sqlite:")  # for which MLflow would create a folder
    if str(folder).isprintable():  # a shell alone understands how other characters are written
        assert shlex.split(next_command("ui", runs_dir=folder))[-1] == str(folder)
    if "${" not in str(folder) and "\\" not in str(folder):
        (setting,), problems = parse([f"dataset.path={quoted(str(folder))}"])
        assert (setting.value, problems) == (str(folder), [])


@settings(deadline=None, max_examples=50)
@given(NAMES, NAMES, NAMES)
def test_paths_next_to_a_moved_runs_folder_are_moved_too(old: str, new: str, file: str) -> None:
    then, now = Path("/none", old, "runs"), Path("/none", new, "runs")
    path = str(then.parent / "data" / file)
    assert moved_path(path, then, now) == path  # nothing exists there
    assert moved_path(path, then, now, is_made=True) == str(now.parent / "data" / file)


def test_data_next_to_a_moved_runs_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "p5").mkdir()
    (tmp_path / "p5" / "x.csv").touch()
    there = str(tmp_path / "p4" / "x.csv")
    config = {"dataset": {"path": there, "test_path": "/elsewhere/x.csv"}, "model": {}, "runs_dir": "runs"}
    found, told = relocated(config, tmp_path / "p4" / "runs", tmp_path / "p5" / "runs")
    assert found["dataset"] == {"path": str(tmp_path / "p5" / "x.csv"), "test_path": "/elsewhere/x.csv"}
    assert told == [
        f"dataset.path is now {tmp_path / 'p5' / 'x.csv'}, relative to the runs folder; it was {there}."
    ]


def digests(folder: Path) -> dict[Path, str]:
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    }


def test_a_copied_store_names_the_copy(store: Store, tmp_path: Path) -> None:
    run_dir = new_run(
        store, experiment="Default"
    )  # an experiment that MLflow has created with another location
    run_id = Ledger.load(run_dir).run_id
    before = digests(store.runs_dir)
    copy = tmp_path / ODD / "runs"
    shutil.copytree(store.runs_dir, copy, symlinks=True)
    with open_store(copy) as copied:
        (note,) = copied.notes
        assert f"was {store.runs_dir} and is now {copy}" in note
        here = copied.client.get_run(run_id).info.artifact_uri
        assert local_path(here) == find_folder(copy, run_id) == copy / run_dir.relative_to(store.runs_dir)
        new_run(copied, experiment="Default")
    with open_store(copy) as again:
        assert again.notes == ()
    assert digests(store.runs_dir) == before
    assert [path.name for path in tmp_path.iterdir()] == [ODD]


def test_runs_of_another_folder_in_the_same_store_are_left_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URI_VARIABLE, store.uri)
    with open_store(tmp_path / "other") as other:
        run_dir = new_run(other)
    assert run_dir.is_relative_to(tmp_path / "other")
    assert Ledger.load(run_dir).tracking_uri == store.uri
    with open_store(store.runs_dir) as again:
        assert again.notes == ()
        assert again.client.get_run(Ledger.load(run_dir).run_id).info.artifact_uri == run_dir.as_uri()
    with pytest.raises(RunNotFound, match="is in another runs folder") as caught:
        fetch_run(Ledger.load(run_dir).run_id, store.runs_dir)
    assert str(run_dir) in caught.value.problems[0].hint


def test_a_run_that_continues_in_the_original_is_marked_killed_in_the_copy_only(
    store: Store, tmp_path: Path
) -> None:
    run_dir = new_run(store)
    Ledger.load(run_dir).update(status="RUNNING")
    before = digests(store.runs_dir)
    copy = tmp_path / "runs"
    shutil.copytree(store.runs_dir, copy, symlinks=True)
    with open_store(copy) as copied:
        assert len(reconcile(copy, copied)) == 1
        copied_run = copied.client.get_run(Ledger.load(run_dir).run_id)
    assert (
        Ledger.load(copy / run_dir.relative_to(store.runs_dir)).status == copied_run.info.status == "KILLED"
    )
    assert digests(store.runs_dir) == before
    assert reconcile(store.runs_dir, store) == []


def test_a_copy_does_not_write_to_the_original_in_a_store_of_both(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URI_VARIABLE, store.uri)
    original, copy = tmp_path / "p4", tmp_path / "p5"
    with open_store(original) as opened:
        ledger = Ledger.load(new_run(opened))
        ledger.update(status="RUNNING")
        shutil.copytree(original, copy, symlinks=True)
        copied = Ledger.load(copy / ledger.run_dir.relative_to(original))
        with open_store(copy) as other:
            assert len(reconcile(copy, other)) == 1
            assert store.client.get_run(ledger.run_id).info.status == "SCHEDULED"
            with pytest.raises(StoreError, match="the run is a copy"):
                switch_store(other, [copied])
    shutil.rmtree(original)  # without the original it is no longer a copy
    with open_store(copy) as other:
        assert switch_store(other, [copied]) == ""
    assert store.client.get_run(ledger.run_id).info.artifact_uri == copied.run_dir.as_uri()


def test_a_folder_chooses_no_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as evil:
        evil.bind(("127.0.0.1", 0))
        evil.listen()
        evil.settimeout(0)
        uri = f"http://127.0.0.1:{evil.getsockname()[1]}"
        ledger = Ledger.load(new_run(store))
        ledger.update(tracking_uri=uri, status="RUNNING")
        store.close()
        reconcile(store.runs_dir)
        assert Ledger.load(ledger.run_dir).status == "KILLED"  # this needs no store
        with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI is not set") as caught:
            store_for_resuming(ledger, "dlcli resume 'a b'")
        assert f"MLFLOW_TRACKING_URI={uri} dlcli resume 'a b'" in caught.value.problems[0].hint
        with pytest.raises(BlockingIOError):
            evil.accept()
    monkeypatch.setenv(URI_VARIABLE, store.uri)  # given by the user
    assert store_for_resuming(ledger, []) == store.uri
    with open_store(store.runs_dir) as opened:
        assert uri in switch_store(opened, [ledger])
    assert Ledger.load(ledger.run_dir).tracking_uri is None


def test_a_folder_outside_of_a_runs_folder_is_not_resumed(store: Store, tmp_path: Path) -> None:
    run_dir = new_run(store)
    check_places([Ledger.load(run_dir)])
    (run_dir / "inside").symlink_to(run_dir / "ledger.json")
    check_places([Ledger.load(run_dir)])
    (run_dir / "checkpoints").symlink_to(tmp_path)
    with pytest.raises(InputError, match="a link in the run's folder"):
        check_places([Ledger.load(run_dir)])
    (run_dir / "checkpoints").unlink()
    (run_dir.parent / ".reserve").symlink_to(tmp_path / "precious.txt")
    with pytest.raises(InputError, match="a link in the run's folder"):
        check_places([Ledger.load(new_run(store)), Ledger.load(run_dir)])  # the second is a descendant, say
    copy = tmp_path / "copy" / "artifacts"
    shutil.copytree(run_dir, copy, symlinks=True)
    with pytest.raises(InputError, match=r"RUNS/exp/\w+/artifacts"):
        check_places([Ledger.load(copy)])


@pytest.mark.parametrize("name", ["run_id", "token", "parent_id"])
def test_an_id_leads_to_no_other_folder(run_dir: Path, name: str) -> None:
    from dlcli.errors import CorruptRun

    Ledger.load(run_dir).update(**{name: "../../elsewhere"})
    with pytest.raises(CorruptRun):
        Ledger.load(run_dir)


def test_a_moved_folder_is_not_created_again(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c", within=tmp_path)
    assert (tmp_path / "a" / "b" / "c").is_dir()
    with pytest.raises(InputError, match="cannot write"):
        make_folder(tmp_path / "gone" / "b", within=tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_ledgers_of_before_are_read_and_their_paths_not_followed(run_dir: Path, store: Store) -> None:
    ledger = Ledger.load(run_dir)
    ledger.update(digests=None)
    text = (run_dir / "ledger.json").read_text()
    old = text.replace('"schema_version": 2', '"schema_version": 1, "runs_dir": "/p4/runs"')
    old = old.replace('"tracking_uri": null', '"tracking_uri": "sqlite:////p4/runs/mlflow.db"')
    (run_dir / "ledger.json").write_text(old)
    read = Ledger.load(run_dir)
    assert (read.runs_dir, read.tracking_uri, read.former_runs_dir) == (store.runs_dir, None, "/p4/runs")
    assert read.store_uri == store.uri
    read.update(former_runs_dir=None)
    assert Ledger.load(run_dir) == ledger

"""Child runs that their driver sends to MLflow in groups."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from toy_runs import new_run

from dlcli.errors import CorruptRun
from dlcli.runs.retention import WEIGHTS_TAG, drop_weights
from dlcli.tracking import database, many_runs
from dlcli.tracking.amend import amend
from dlcli.tracking.connection import DATABASE
from dlcli.tracking.history import HISTORY_FILE
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries
from dlcli.tracking.projection import is_in_mlflow
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store


def child(store: Store, parent: Path) -> Path:
    return new_run(store, kind="fold", parent_id=Ledger.load(parent).run_id, later=True)


def record(run_dir: Path, value: float) -> None:
    with Recorder(run_dir, system_metrics=False) as recorder:
        recorder.log({"val/loss": value}, step=0)
        recorder.tag("note", "text", at_end=True)
        recorder.finish({"val/loss": value})


def in_store(store: Store, table: str, run_dir: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(store.runs_dir / DATABASE) as connection:
        question = f"SELECT * FROM {table} WHERE run_uuid = ?"
        return connection.execute(question, (Ledger.load(run_dir).run_id,)).fetchall()


def test_runs_that_have_ended_are_sent_together(store: Store) -> None:
    parent = new_run(store)
    first, second, waits = (child(store, parent) for _ in range(3))
    record(first, 0.5)
    record(second, 0.25)
    assert not in_store(store, "runs", first)
    assert not is_in_mlflow(Ledger.load(first))
    store.project(now=True)
    for folder, value in ((first, 0.5), (second, 0.25)):
        assert [row[1] for row in in_store(store, "latest_metrics", folder)] == [value]
        assert is_in_mlflow(Ledger.load(folder))
        assert Ledger.load(folder).tags["note"] == "text"
    assert not in_store(store, "runs", waits)
    tokens = {entry.name for entry in entries(store.runs_dir)}
    assert tokens == {Ledger.load(folder).token for folder in (parent, waits)}
    found = store.client.get_run(Ledger.load(second).run_id)
    assert (found.info.status, found.data.tags["note"]) == ("FINISHED", "text")


def test_one_that_is_being_recorded_waits_for_its_end(store: Store) -> None:
    run_dir = child(store, new_run(store))
    with Recorder(run_dir, system_metrics=False) as recorder:
        recorder.log({"a": 1.0}, step=0)
        store.project(now=True)
        assert not in_store(store, "runs", run_dir)
    store.project(now=True)
    assert is_in_mlflow(Ledger.load(run_dir))


def test_the_next_command_sends_what_a_killed_driver_has_left(store: Store) -> None:
    run_dir = child(store, new_run(store))
    record(run_dir, 0.5)
    reconcile(store.runs_dir, store)
    assert is_in_mlflow(Ledger.load(run_dir))
    assert [row[1] for row in in_store(store, "latest_metrics", run_dir)] == [0.5]
    store.project(now=True)  # nothing is left to do
    assert len(in_store(store, "metrics", run_dir)) == 1


def test_a_run_that_was_deleted_in_mlflow_stays_deleted(store: Store) -> None:
    run_dir = child(store, new_run(store))
    record(run_dir, 0.5)
    reconcile(store.runs_dir, store)
    run_id = Ledger.load(run_dir).run_id
    store.client.delete_run(run_id)
    with Recorder(run_dir, system_metrics=False):
        pass
    store.project(now=True)
    assert store.client.get_run(run_id).info.lifecycle_stage == "deleted"


def weights_tags(store: Store, run_dir: Path) -> list[object]:
    return [row[1] for row in in_store(store, "tags", run_dir) if row[0] == WEIGHTS_TAG]


def ended(store: Store, count: int = 1) -> list[Path]:
    """Child runs that have ended and are not in MLflow."""
    parent = new_run(store)
    children = [child(store, parent) for _ in range(count)]
    for run_dir in children:
        record(run_dir, 0.5)
    return children


def tokens(store: Store) -> set[str]:
    return {entry.name for entry in entries(store.runs_dir)}


def test_dropped_weights_are_in_mlflow_before_and_after_the_run_is_sent(store: Store) -> None:
    before, after = ended(store, 2)
    drop_weights(store, before)
    store.project(now=True)
    drop_weights(store, after)
    store.project(now=True)
    for run_dir in (before, after):
        assert weights_tags(store, run_dir) == ["dropped"]
        assert is_in_mlflow(Ledger.load(run_dir))
        assert Ledger.load(run_dir).token not in tokens(store)


def test_the_next_command_sends_what_was_dropped_last(store: Store) -> None:
    (run_dir,) = ended(store)
    store.project(now=True)
    drop_weights(store, run_dir)
    reconcile(store.runs_dir)
    assert weights_tags(store, run_dir) == ["dropped"]
    assert Ledger.load(run_dir).token not in tokens(store)


def test_a_tag_that_the_user_has_changed_in_mlflow_is_kept(store: Store) -> None:
    (run_dir,) = ended(store)
    store.project(now=True)
    store.client.set_tag(Ledger.load(run_dir).run_id, "note", "changed")
    drop_weights(store, run_dir)
    store.project(now=True)
    assert store.client.get_run(Ledger.load(run_dir).run_id).data.tags["note"] == "changed"


def test_dropped_weights_and_another_command_do_not_overwrite_each_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command settles the run at the moment at which the driver has read its ledger."""
    (run_dir,) = ended(store)
    read, reads = Ledger.load, []

    def load(folder: Path) -> Ledger:
        ledger = read(folder)
        reads.append(folder)
        if folder == run_dir and len(reads) == 1:
            reconcile(store.runs_dir)
        return ledger

    monkeypatch.setattr(Ledger, "load", load)
    drop_weights(store, run_dir)
    monkeypatch.undo()
    store.project(now=True)
    assert Ledger.load(run_dir).tags[WEIGHTS_TAG] == "dropped"
    assert is_in_mlflow(Ledger.load(run_dir))
    assert weights_tags(store, run_dir) == ["dropped"]


def test_another_command_waits_while_weights_are_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir,) = ended(store)
    add = Ledger.add_tags

    def add_tags(ledger: Ledger, tags: dict[str, str], *, durable: bool) -> None:
        reconcile(store.runs_dir)  # takes no entry that is locked
        assert not in_store(store, "runs", run_dir)
        add(ledger, tags, durable=durable)

    monkeypatch.setattr(Ledger, "add_tags", add_tags)
    drop_weights(store, run_dir)
    store.project(now=True)
    assert is_in_mlflow(Ledger.load(run_dir))


def test_a_tag_of_an_ended_run_is_set_in_the_current_ledger(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir,) = ended(store)
    read, reads = Ledger.load, []

    def load(folder: Path) -> Ledger:
        ledger = read(folder)
        reads.append(folder)
        if len(reads) == 1:
            read(folder).add_tags({"other": "command"})
        return ledger

    monkeypatch.setattr(Ledger, "load", load)
    amend(store, run_dir, {"own": "tag"})
    assert {"other", "own"} <= set(read(run_dir).tags)


@pytest.mark.parametrize(
    "error", [CorruptRun("the ledger is invalid", "x", "y"), OSError(24, "Too many open files")]
)
def test_a_record_that_cannot_be_read_once_is_sent_later(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    (run_dir,) = ended(store)
    read, reads = Ledger.load, []

    def load(folder: Path) -> Ledger:
        reads.append(folder)
        if len(reads) == 2:
            raise error
        return read(folder)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "load", load)
        store.project(now=True)
    monkeypatch.setattr(many_runs, "_BACKOFF", 0.0)
    store.project(now=True)
    assert is_in_mlflow(Ledger.load(run_dir))


def test_a_run_that_sqlite_cannot_store_does_not_withhold_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bad, *good = ended(store, 3)
    huge = b'{"step": 99999999999999999999999, "time_ms": 1, "metrics": {"a": 1}}\n'
    (bad / HISTORY_FILE).write_bytes(huge)
    for _ in range(2):
        store.project(now=True)
        assert all(is_in_mlflow(Ledger.load(folder)) for folder in good)
        assert not in_store(store, "runs", bad)
    assert caplog.text.count("MLflow lacks 1 run that it cannot store") == 1
    assert bad.parent.name in caplog.text


def test_many_unsent_runs_hold_few_files_open(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_runs, "_TOGETHER", 3)
    sizes: list[int] = []
    send = many_runs._in_file
    held = ended(store, 7)
    monkeypatch.setattr(
        store._unsent,
        "_enter",
        lambda runs, result: (sizes.append(len(runs)), send(file, store.runs_dir, runs, result)),
    )
    file = store.runs_dir / DATABASE
    store.project(now=True)
    assert sizes == [3, 3, 1]
    assert all(is_in_mlflow(Ledger.load(folder)) for folder in held)


def test_folds_that_wait_do_not_make_each_end_an_attempt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_runs, "_TOGETHER", 3)
    monkeypatch.setattr(many_runs, "_SECONDS", 1e9)
    parent = new_run(store)
    folds = [child(store, parent) for _ in range(8)]
    sent = []
    for fold in folds[:7]:
        record(fold, 0.5)
        store.project()
        sent.append(sum(bool(in_store(store, "runs", one)) for one in folds))
    assert sent == [0, 0, 3, 3, 3, 6, 6]


@contextmanager
def locked(store: Store) -> Iterator[None]:
    connection = sqlite3.connect(store.runs_dir / DATABASE)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


def test_a_locked_store_is_tried_at_times(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    monkeypatch.setattr(many_runs, "_SECONDS", 0.0)
    (run_dir,) = ended(store)
    attempts: list[int] = []
    follow = store._watch.follow
    monkeypatch.setattr(store._watch, "follow", lambda: (attempts.append(1), follow())[1])
    with locked(store):
        for _ in range(40):
            store.project()
        assert len(attempts) == 1
        for _ in range(3):  # at the end of the folds, of the run, and of the command
            store.project(now=True)
        assert len(attempts) == 2
    assert caplog.text.count("MLflow lacks runs that have ended") == 1
    monkeypatch.setattr(many_runs, "_BACKOFF", 0.0)
    store.project(now=True)
    assert is_in_mlflow(Ledger.load(run_dir))


def test_children_of_a_deleted_experiment_are_reported(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    parent = new_run(store, experiment="deleted later")
    name = Ledger.load(parent).experiment
    about = {"kind": "fold", "experiment": name, "parent_id": Ledger.load(parent).run_id, "later": True}
    experiment = store.client.get_experiment_by_name(name)
    assert experiment is not None
    store.client.delete_experiment(experiment.experiment_id)
    for _ in range(2):
        record(new_run(store, **about), 0.5)
        store.project(now=True)
    assert caplog.text.count("the experiment 'deleted later' is deleted") == 1
    assert f"mlflow experiments restore -x {experiment.experiment_id}" in caplog.text

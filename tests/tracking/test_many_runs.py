"""Child runs that their driver sends to MLflow together."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from toy_runs import new_run

from dlcli.tracking.connection import DATABASE
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

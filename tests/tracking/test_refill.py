"""A store that was lost is restored from the ledgers."""

import math
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from toy_dumps import dump
from toy_runs import new_run

from dlcli.tracking.connection import URI_VARIABLE, connect
from dlcli.tracking.database import open_database
from dlcli.tracking.known_runs import MARK_FILE
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_inputs import SHOWN_FILE, DatasetRecord
from dlcli.tracking.projection import Projection
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store, open_store
from dlcli.tracking.store_rows import enter

LOST = "The MLflow store was empty: {} restored from their ledgers."


def record(store: Store, epochs: int = 3, **changes: object) -> Path:
    """A run with everything that a run can have."""
    data = [
        DatasetRecord("digits", "abc-train", "sklearn", profile={"rows": 3}),
        DatasetRecord("digits", "abc-test", "sklearn", context="testing"),
    ]
    params = {"model": {"width": 3, "names": ["é", "'"]}, "password": "hunter2", "long": "x" * 9000}
    given = {"params": params, "datasets": data, "tags": {"mlflow.user": "me", "a": "it's"}, **changes}
    run_dir = new_run(store, **given)
    with Recorder(run_dir, system_metrics=False) as recorder:
        for epoch in range(epochs):
            recorder.log({"train/loss": 1 / (epoch + 1), "val/loss": math.nan, "x": math.inf}, epoch)
        recorder.tag("later", "b" * 6000)
        recorder.finish({"test/accuracy": 0.5, "train/loss": 0.25, "y": -math.inf})
    return run_dir


@pytest.fixture(scope="module")
def three_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with related runs in two experiments, one of them failed. Tests remove and restore it."""
    with open_store(tmp_path_factory.mktemp("refill") / "a b%41 #?é" / "runs") as opened_store:
        parent = Ledger.load(record(opened_store, kind="cv")).run_id
        record(opened_store, kind="fold", parent_id=parent)
        failing = new_run(opened_store, experiment="team/exp #1")
        with pytest.raises(ZeroDivisionError), Recorder(failing, system_metrics=False):
            raise ZeroDivisionError
        yield opened_store


@pytest.fixture
def full(three_runs: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store with its three runs, which is restored after each test."""
    monkeypatch.setattr(
        "dlcli.tracking.projector._INTERVAL", 1000.0
    )  # sends at the start and at the end only
    folders = set(three_runs.runs_dir.glob("*/*"))
    yield three_runs
    three_runs.close()
    for folder in set(three_runs.runs_dir.glob("*/*")) - folders:
        folder.unlink() if folder.is_symlink() or folder.is_file() else shutil.rmtree(folder)
    database(three_runs).unlink(missing_ok=True)
    reopen(three_runs)


def database(store: Store) -> Path:
    return store.runs_dir / "mlflow.db"


def reopen(store: Store) -> tuple[str, ...]:
    """Return the notes of the next command."""
    with open_store(store.runs_dir) as again:
        return again.notes


def sql(file: Path, *statements: str) -> None:
    with open_database(file) as connection:
        for statement in statements:
            connection.execute(statement)


def put_an_empty_store_in_its_place(file: Path) -> None:
    """Runs of an older dlcli or of MLflow itself, in the same file."""
    other = file.parent.parent / "other.db"
    connect(f"sqlite:///{other}".replace("%", "%25").replace("?", "%3F"))
    sql(other, "DROP TABLE dlcli_store")
    file.write_bytes(other.read_bytes())
    other.unlink()


LOSSES = {
    "deleted": lambda file: file.unlink(),
    "moved": lambda file: file.rename(file.with_name("away.db")),
    "emptied": lambda file: os.truncate(file, 0),
    "replaced": put_an_empty_store_in_its_place,
}


@pytest.mark.parametrize("how", LOSSES)
def test_all_comes_back_as_it_was(full: Store, how: str) -> None:
    before = dump(full.runs_dir)
    LOSSES[how](database(full))
    assert reopen(full) == (LOST.format("3 runs were"),)
    after = dump(full.runs_dir)
    for what, rows in before.items():
        assert after[what] == rows, what
    assert len(before["metrics"]) > 20
    assert len(before["inputs"]) == 4
    assert reopen(full) == ()


def test_mlflow_shows_what_was_entered_as_it_was(full: Store) -> None:
    def shown() -> list[str]:
        ids = [experiment.experiment_id for experiment in full.client.search_experiments()]
        return sorted(
            repr([run.info.run_id, run.data.to_dictionary()]) for run in full.client.search_runs(ids)
        )

    before = shown()
    database(full).unlink()
    reopen(full)
    assert shown() == before
    assert len(before) == 3


def test_deleted_runs_stay_deleted(full: Store) -> None:
    """In the store that they were deleted from, whether it keeps them as deleted or has removed them."""
    first, second, _ = (row[0] for row in dump(full.runs_dir)["runs"])
    full.client.delete_run(first)
    sql(
        database(full),
        *(f"DELETE FROM {table} WHERE run_uuid = '{second}'" for table in ("runs", "tags", "params")),
    )
    (full.runs_dir / MARK_FILE).unlink()  # so that all ledgers are read again
    assert reopen(full) == ()
    assert [row[0] for row in dump(full.runs_dir)["runs"] if row[11] == "active"] == [_]


def test_records_after_a_backup_are_restored(full: Store) -> None:
    going_on = new_run(full)
    backup = database(full).read_bytes()
    with Recorder(going_on, system_metrics=False) as recorder:
        recorder.log({"a": 1.0}, 0)
    record(full)
    before = dump(full.runs_dir)
    database(full).write_bytes(backup)
    notes = reopen(full)
    assert notes == (
        "The MLflow store lacked some of its runs: 1 run was restored from its ledger.",
        "The MLflow store was older than its runs: 1 run was updated.",
    )
    assert dump(full.runs_dir) == before


def test_a_store_of_an_older_dlcli_keeps_what_it_has(full: Store) -> None:
    before = dump(full.runs_dir)
    sql(database(full), "DROP TABLE dlcli_store", "DROP TABLE dlcli_runs")
    assert reopen(full) == ()
    assert dump(full.runs_dir) == before


def test_a_run_of_an_older_dlcli_has_its_configuration_for_params(full: Store) -> None:
    run_dir = new_run(full, files={"config.yaml": "model: {width: 3}\nseed: 1\n"})
    (run_dir / SHOWN_FILE).unlink()
    database(full).unlink()
    reopen(full)
    run = full.client.get_run(Ledger.load(run_dir).run_id)
    assert run.data.params == {"model.width": "3", "seed": "1"}


def test_a_kill_in_the_middle_is_made_good_by_the_next_command(
    full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, calls = dump(full.runs_dir), count(1)

    def killed(connection: sqlite3.Connection, ledger: Ledger) -> None:
        enter(connection, ledger)
        if next(calls) == 2:
            raise KeyboardInterrupt

    database(full).unlink()
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.tracking.refill._BATCH", 1)
        patch.setattr("dlcli.tracking.refill.enter", killed)
        with pytest.raises(KeyboardInterrupt):
            reopen(full)
    assert len(dump(full.runs_dir)["runs"]) == 1
    assert "2 runs were restored" in reopen(full)[0]
    assert dump(full.runs_dir) == before


def first_push(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Leave one push at the start, which sets the event, and one at the end: SQLite writes nothing in between."""
    monkeypatch.setattr("dlcli.tracking.projector._INTERVAL", 3600.0)
    pushed, push = threading.Event(), Projection.push
    monkeypatch.setattr(Projection, "push", lambda self: (push(self), pushed.set()))
    return pushed


@pytest.mark.parametrize("how", LOSSES)
def test_a_running_process_notices(
    full: Store, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = new_run(full)
    pushed = first_push(monkeypatch)
    with Recorder(run_dir, system_metrics=False) as recorder:
        recorder.log({"a": 1.0}, 0)
        assert pushed.wait(60)
        LOSSES[how](database(full))
        recorder.log({"a": 2.0}, 1)
    assert "runs were restored" in caplog.text
    run_id = Ledger.load(run_dir).run_id
    assert [entry.step for entry in full.client.get_metric_history(run_id, "a")] == [0, 1]
    assert full.client.get_run(run_id).info.status == "FINISHED"
    LOSSES[how](database(full))
    next_run = new_run(full)  # with the driver's connection, and an experiment whose ID has changed
    assert full.client.get_run(Ledger.load(next_run).run_id).info.status == "SCHEDULED"
    assert len(dump(full.runs_dir)["runs"]) == 5


def test_a_store_that_is_damaged_in_mid_run_is_named_at_the_end(
    full: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.tracking.projector._GRACE", 0.0)
    run_dir = new_run(full)
    pushed = first_push(monkeypatch)
    with Recorder(run_dir, system_metrics=False) as recorder:
        recorder.log({"a": 1.0}, 0)
        assert pushed.wait(60)
        database(full).write_bytes(b"no database, but long enough to be taken for one" * 100)
    assert Ledger.load(run_dir).status == "FINISHED"
    assert "MLflow lacks a part of this run" in caplog.text
    assert str(database(full)) in caplog.messages[-1]


def test_a_killed_run_is_entered_where_its_end_is_settled(full: Store) -> None:
    run_dir = new_run(full)
    full.close()
    database(full).unlink()
    assert len(reconcile(full.runs_dir)) == 1  # as in `resume`, before the store is opened
    assert full.client.get_run(Ledger.load(run_dir).run_id).info.status == "KILLED"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("ledger.json", "{"),
        ("metrics.jsonl", '{"step": 99999999999999999999, "time_ms": 1, "metrics": {"a": 1}}\n'),
    ],
)
def test_an_unreadable_run_is_reported_and_the_others_are_included(
    full: Store, file: str, content: str
) -> None:
    run_dir = new_run(full)
    (run_dir / file).write_text(content)
    database(full).unlink()
    assert reopen(full) == (
        LOST.format("3 runs were"),
        f"1 run was not restored because of unreadable ledgers: {run_dir}",
    )
    assert len(dump(full.runs_dir)["runs"]) == 3


def test_runs_of_another_store_are_not_entered(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(full.runs_dir, f"sqlite:///{tmp_path}/elsewhere.db") as other:
        assert other.notes == ()
        new_run(other)
    monkeypatch.setenv(URI_VARIABLE, "")  # it was set for the run's workers
    database(full).unlink()
    assert reopen(full) == (LOST.format("3 runs were"),)

"""A store's file is complete or absent after a kill at any moment of its creation or upgrade."""

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from toy_runs import new_run

from dlcli.errors import DlcliError, StoreError
from dlcli.tracking import schema
from dlcli.tracking.connection import connect, load_mlflow
from dlcli.tracking.database import ensure
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import open_store

OLDER = 12  # migrations that an older store lacks


def snapshots(file: Path, every: int, folder: Path) -> list[Path]:
    """Let MLflow create or upgrade a file; return the files that kills after more and more statements would leave."""
    from mlflow.store.db.utils import _initialize_tables

    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    number, taken = count(1), []

    @sqlalchemy.event.listens_for(engine, "after_cursor_execute")
    def take(*_: Any) -> None:
        if next(number) % every == 0:
            taken.append(folder / f"{len(taken):03}" / "mlflow.db")
            taken[-1].parent.mkdir()
            for path in file.parent.glob(f"{file.name}*"):
                shutil.copyfile(path, taken[-1].with_name(path.name))

    _initialize_tables(engine)
    engine.dispose()
    return taken


@pytest.fixture(scope="module")
def half_made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    load_mlflow("sqlite:///")
    folder = tmp_path_factory.mktemp("half")
    return snapshots(folder / "mlflow.db", 150, folder)


@pytest.fixture(scope="module")
def of_an_older_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An older store with a run that has no ledger."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    load_mlflow("sqlite:///")
    file = tmp_path_factory.mktemp("older") / "mlflow.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, schema.known_revisions()[OLDER])
    engine.dispose()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'e', 'active')"
        )
        connection.execute(
            "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, "
            "artifact_uri, experiment_id) VALUES ('abcd', 'n', 'UNKNOWN', 'me', 'FINISHED', 1, 'active', '/nowhere', 1)"
        )
    return file


def copy(file: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for path in file.parent.glob(f"{file.name}*"):
        shutil.copyfile(path, folder / path.name)
    return folder / file.name


def is_usable(folder: Path) -> bool:
    """Return whether a run can be created in the store."""
    with open_store(folder) as store:
        run_id = Ledger.load(new_run(store)).run_id
        return store.client.get_run(run_id).info.status == "SCHEDULED"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


WHOLE = [".entered.json", "mlflow.db", "mlflow.db.lock"]


def test_an_incomplete_store_is_created_again(half_made: list[Path], tmp_path: Path) -> None:
    assert len(half_made) > 2
    for number, file in enumerate(half_made):
        folder = tmp_path / str(number)
        copy(file, folder)
        with open_store(folder) as store:
            assert store.notes == ()
        assert is_usable(folder), number
        assert names(folder) == WHOLE


def test_mlflow_itself_takes_no_half_made_store(half_made: list[Path], tmp_path: Path) -> None:
    """Otherwise, there would be nothing to repair."""
    from mlflow.store.db.utils import _initialize_tables

    engine = sqlalchemy.create_engine(f"sqlite:///{copy(half_made[len(half_made) // 2], tmp_path)}")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="already exists"):
        _initialize_tables(engine)
    engine.dispose()


def test_a_killed_maker_leaves_nothing_but_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before and after each of dlcli's own steps."""
    make = schema.make_fresh
    file = tmp_path / "mlflow.db"

    def killed(made: Path) -> None:
        make(made)
        shutil.copyfile(made, file.with_name(".mlflow.db.00000000.new"))
        file.with_name(".mlflow.db.00000000.new-journal").touch()
        raise KeyboardInterrupt

    load_mlflow("sqlite:///")
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.tracking.database.schema.make_fresh", killed)
        with pytest.raises(KeyboardInterrupt):
            ensure(file)
    assert not file.exists()
    assert is_usable(tmp_path)
    assert names(tmp_path) == WHOLE


def test_a_store_of_an_older_mlflow_is_upgraded_as_a_copy(of_an_older_mlflow: Path, tmp_path: Path) -> None:
    file = copy(of_an_older_mlflow, tmp_path)
    with open_store(tmp_path) as store:
        kept = tmp_path / "mlflow.db.before-upgrade"
        assert store.notes == (
            f"The MLflow store was upgraded from an older MLflow; the file before the upgrade is {kept}",
        )
        assert store.client.get_run("abcd").info.run_name == "n"
    assert kept.read_bytes() == of_an_older_mlflow.read_bytes()
    assert is_usable(tmp_path)
    assert names(tmp_path) == sorted([*WHOLE, kept.name])
    assert file.exists()


def test_an_upgrade_that_was_cut_off_is_set_aside(of_an_older_mlflow: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    file = copy(of_an_older_mlflow, tmp_path / "work")
    with open_store(tmp_path / "runs") as store:
        run_id = Ledger.load(new_run(store)).run_id
    taken = snapshots(file, 50, tmp_path)
    endings = set()
    for half in taken:
        folder = tmp_path / "runs"
        copy(half, folder)
        with open_store(folder) as store:
            told, refilled = store.notes
            assert "1 run was restored" in refilled
            assert store.client.get_run(run_id).info.run_id == run_id
        kept = Path(told.rsplit(" ", 1)[1])
        endings.add(kept.suffix)
        with closing(sqlite3.connect(kept)) as connection:
            assert connection.execute("SELECT run_uuid FROM runs").fetchall() == [("abcd",)]
        kept.unlink()
    assert ".half-upgraded" in endings


@pytest.mark.parametrize(
    ("spoil", "message", "hint"),
    [
        (lambda file: file.write_text("no database " * 99), "the store is damaged", "mv "),
        (lambda file: file.write_text("my notes"), "the store is damaged", "mv "),
        (lambda file: file.write_bytes(file.read_bytes()[:9000]), "the store is damaged", "mv "),
        (
            lambda file: (file.unlink(), os.mkfifo(file)),
            "the store is not a regular file",
            "Give another file",
        ),
        (lambda file: (file.unlink(), file.mkdir()), "path is a folder", "mv "),
        (
            lambda file: sql(file, "UPDATE alembic_version SET version_num = 'feedfeedfeed'"),
            "the store was created by a newer MLflow (schema feedfeedfeed)",
            "pip install --upgrade mlflow",
        ),
        (
            lambda file: (
                file.unlink(),
                sql(file, "CREATE TABLE studies (x)", "CREATE TABLE alembic_version (version_num)"),
                sql(file, "INSERT INTO alembic_version VALUES ('v3.0.0.a')"),
            ),
            "the file is another program's database",
            "MLFLOW_TRACKING_URI",
        ),
    ],
    ids=["text", "short text", "cut off", "pipe", "folder", "newer", "another program's"],
)
def test_a_file_that_is_not_a_store_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str, hint: str
) -> None:
    folder = tmp_path / "a b's"
    with open_store(folder) as store:
        run_id = Ledger.load(new_run(store)).run_id
    file = folder / "mlflow.db"
    spoil(file)
    with pytest.raises(StoreError) as caught:
        open_store(folder)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert hint in problem.hint
    assert str(file) in problem.where
    if hint == "mv ":
        subprocess.run(problem.hint[problem.hint.index("mv ") :], shell=True, check=True)
        with open_store(folder) as store:
            assert "1 run was restored" in store.notes[0]
            assert store.client.get_run(run_id).info.run_id == run_id
        assert (folder / "mlflow.db.damaged").exists()


def test_a_locked_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.tracking.database._PATIENCE", 0.0)
    open_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DlcliError, match="another program has locked the store"):
            open_store(tmp_path)


def test_a_journal_of_a_database_that_is_gone_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db-wal").write_bytes(b"x" * 5000)
    with open_store(tmp_path) as store:
        assert str(tmp_path / "mlflow.db.lost-wal") in store.notes[0]
    assert is_usable(tmp_path)
    assert (tmp_path / "mlflow.db.lost-wal").read_bytes() == b"x" * 5000


def test_threads_make_one_store(tmp_path: Path) -> None:
    load_mlflow("sqlite:///")
    file = tmp_path / "mlflow.db"
    threads = [threading.Thread(target=ensure, args=(file,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connect(f"sqlite:///{file}").get_experiment("0").artifact_location == (tmp_path / "0").as_uri()
    assert is_usable(tmp_path)


def sql(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


FOREIGN = {
    "other tables": ["CREATE TABLE notes (id INTEGER PRIMARY KEY, text)", "INSERT INTO notes (text) VALUES ('x')"],
    "tables of the same names": ["CREATE TABLE runs (id, distance, shoes)", "INSERT INTO runs VALUES (1, 2, 3)"],
    "one table of the same form": ["CREATE TABLE params (key, value, run_uuid)", "CREATE TABLE mine (x)"],
    "with a log": ["PRAGMA journal_mode = wal", "CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('x')"],
    "with a revision": ["CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('1')"],
}  # fmt: skip


def put_foreign(file: Path, kind: str) -> dict[str, bytes]:
    """Put another program's file in the place of a store; returns all files there with that name."""
    for path in file.parent.glob(f"{file.name}-*"):
        path.unlink()
    other = file.with_name("other.db")
    sql(other, *FOREIGN[kind])
    other.replace(file)
    return files_of(file)


def files_of(file: Path) -> dict[str, bytes]:
    kept = {
        path.name: path.read_bytes() for path in file.parent.glob(f"{file.name}*") if path.suffix != ".lock"
    }
    return {name: content for name, content in kept.items() if content or not name.endswith("-wal")}


@pytest.mark.parametrize("kind", list(FOREIGN))
def test_another_programs_file_is_refused_and_stays_as_it_was(tmp_path: Path, kind: str) -> None:
    with open_store(tmp_path) as store:
        run_id = Ledger.load(new_run(store)).run_id
    file = tmp_path / "mlflow.db"
    before = put_foreign(file, kind)
    with pytest.raises(StoreError, match="the file is another program's database") as caught:
        open_store(tmp_path)
    assert files_of(file)[file.name] == before[file.name]
    (problem,) = caught.value.problems
    subprocess.run(problem.hint[problem.hint.index("mv ") :], shell=True, check=True)
    with open_store(tmp_path) as store:
        assert store.client.get_run(run_id).info.run_id == run_id


@pytest.mark.parametrize("kind", list(FOREIGN))
def test_another_programs_file_that_replaces_the_store_during_a_run_stays_as_it_was(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path) as store:
        run_dir = new_run(store)
        with Recorder(run_dir, system_metrics=False) as recorder:
            recorder.log({"val/loss": 1.0}, 0)
            before = put_foreign(tmp_path / "mlflow.db", kind)
            recorder.log({"val/loss": 0.5}, 1)
            recorder.finish({"val/loss": 0.5})
        with pytest.raises(StoreError, match="another program's database"):
            new_run(store)
    assert "another program's database" in caplog.text
    assert files_of(tmp_path / "mlflow.db")["mlflow.db"] == before["mlflow.db"]
    ledger = Ledger.load(run_dir)
    assert (ledger.status, ledger.metrics) == ("FINISHED", {"val/loss": 0.5})
    (tmp_path / "mlflow.db").unlink()
    with open_store(tmp_path) as store:
        history = store.client.get_metric_history(ledger.run_id, "val/loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 1.0), (1, 0.5)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER UPDATE ON runs BEGIN SELECT count(*) FROM endless; END",
        "CREATE TRIGGER prevent AFTER INSERT ON metrics BEGIN SELECT count(*) FROM endless; END",
        "DROP TABLE alembic_version; CREATE VIEW alembic_version AS SELECT x AS version_num FROM endless",
    ],
)
def test_a_store_that_computes_when_it_is_used_is_refused(tmp_path: Path, statement: str) -> None:
    open_store(tmp_path).close()
    endless = "CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    sql(tmp_path / "mlflow.db", endless, *statement.split("; CREATE VIEW")[:1])
    if "; CREATE VIEW" in statement:
        sql(tmp_path / "mlflow.db", "CREATE VIEW" + statement.split("; CREATE VIEW")[1])
    with pytest.raises(StoreError, match="has triggers or views"):
        open_store(tmp_path)

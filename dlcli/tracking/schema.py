"""MLflow's tables in a SQLite file: creation, upgrade, and checks for completeness."""

from __future__ import annotations

import functools
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType

from dlcli.errors import first_line
from dlcli.files.user_cache import cached, read_cached
from dlcli.process.installed import version_of

_SEEN = "dlcli_store"  # dlcli's table: version of MLflow and revision for which the file was found complete
# Table to the SQL condition for its rows in a new store.
_OF_A_FRESH_STORE = {
    "alembic_version": "1",
    "workspaces": "name = 'default'",
    "experiments": "experiment_id = 0",
    _SEEN: "1",
}


class HalfUpgradedError(Exception):
    """The tables correspond to no revision of MLflow's schema: an upgrade was interrupted."""


def tables(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the tables."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def revisions(connection: sqlite3.Connection) -> list[str]:
    """Return the recorded revision of the tables as a list, which is empty if there is none."""
    if "alembic_version" not in tables(connection):
        return []
    return [revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")]


def known_revisions() -> list[str]:
    """Return all revisions that the installed MLflow knows, its own first."""
    revisions: list[str] = _of_mlflow().all_revisions()
    return revisions


def is_complete(connection: sqlite3.Connection) -> bool:
    """Return whether all tables that the installed MLflow needs exist."""
    needed: set[str] = _of_mlflow().needed_tables()
    return needed <= tables(connection)


def is_known_complete(connection: sqlite3.Connection) -> bool:
    """Return whether an earlier command has found the file complete with this MLflow, without importing MLflow."""
    if _SEEN not in tables(connection):
        return False
    seen = connection.execute(f"SELECT mlflow, revision FROM {_SEEN}").fetchall()
    return seen == [(_mlflow_version(), *revisions(connection))]


def is_of_another_program(connection: sqlite3.Connection) -> bool:
    """Return whether a file without a revision has tables that MLflow never creates.

    A store whose creation was interrupted has no revision yet, but some of MLflow's tables.
    """
    known: dict[str, set[str]] = _of_mlflow().columns_by_table()
    for name in tables(connection) - {"alembic_version", _SEEN}:
        if name.startswith(("sqlite_", "_alembic_tmp_", "dlcli_")):
            continue
        columns = {
            row[1] for row in connection.execute(f'PRAGMA table_info("{name.replace(chr(34), chr(34) * 2)}")')
        }
        if name not in known or not columns <= known[name]:
            return True
    return False


def programs(connection: sqlite3.Connection) -> list[str]:
    """Return the names of triggers and views that MLflow has not created.

    Views count if they have the name of one of MLflow's tables. SQLite executes triggers and views on access, possibly
    without end. MLflow itself has a trigger for its table `secrets`.
    """
    found = connection.execute(
        "SELECT name, type, tbl_name FROM sqlite_master WHERE type IN ('trigger', 'view')"
    ).fetchall()
    views = {name for name, kind, _ in found if kind == "view"}
    if views:  # this imports MLflow
        views &= {*_of_mlflow().columns_by_table(), "alembic_version"}
    triggers = {name for name, kind, table in found if kind == "trigger" and table != "secrets"}
    return sorted(views | triggers)


def _of_mlflow() -> ModuleType:
    """Import and return `dlcli.tracking.mlflow_tables`, which most commands do not need."""
    from dlcli.tracking import mlflow_tables

    return mlflow_tables


def note_complete(connection: sqlite3.Connection) -> None:
    """Record for later commands that the file is complete."""
    connection.execute(f"CREATE TABLE IF NOT EXISTS {_SEEN} (mlflow TEXT, revision TEXT)")
    connection.execute(f"DELETE FROM {_SEEN}")
    connection.execute(f"INSERT INTO {_SEEN} VALUES (?, ?)", (_mlflow_version(), *revisions(connection)))


@functools.cache
def _mlflow_version() -> str:
    """Return the version of the installed MLflow without importing it, which would take a second."""
    return version_of("mlflow") or ""


def holds_anything(connection: sqlite3.Connection) -> bool:
    """Return whether the file contains rows that a new store lacks."""
    return any(
        connection.execute(
            f'SELECT 1 FROM "{name}" WHERE NOT ({_OF_A_FRESH_STORE.get(name, "0")}) LIMIT 1'
        ).fetchone()
        for name in tables(connection)
        if not name.startswith("sqlite_")
    )


def make_fresh(file: Path) -> None:
    """Write a new store, with the default experiment that MLflow expects in every store."""
    file.write_bytes(_empty_store())
    now = time.time_ns() // 1_000_000
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
            "last_update_time) VALUES (0, 'Default', ?, 'active', ?, ?)",
            ((file.parent / "0").as_uri(), now, now),
        )
        note_complete(connection)


def upgrade_copy(old: Path, file: Path) -> None:
    """Write a copy of a store that is upgraded to the installed MLflow; raises HalfUpgradedError."""
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(file)) as copy:
        source.backup(copy)
    error: Exception | None = _of_mlflow().upgrade(file)
    if error is not None:
        reason = first_line(error)
        if re.search(r"already exists|duplicate column|no such (table|column|index)", reason):
            raise HalfUpgradedError(reason) from error
        raise error
    with closing(sqlite3.connect(file)) as copy, copy:
        if not is_complete(copy):
            raise HalfUpgradedError("tables are missing")
        note_complete(copy)


def is_fresh_cached() -> bool:
    """Return whether an empty store is cached, so that `make_fresh` does not import MLflow."""
    return read_cached(_cached_name()) is not None


def _cached_name() -> str:
    return f"store-of-mlflow-{_mlflow_version()}"


def _empty_store() -> bytes:
    """Return an empty store. It is cached, because MLflow takes seconds for its seventy migrations."""
    return cached(_cached_name(), _make_empty_store)


@functools.cache
def _make_empty_store() -> bytes:
    content: bytes = _of_mlflow().empty_store()
    return content

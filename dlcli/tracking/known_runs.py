"""Keep track of the runs that a SQLite store has had: a list in the store, and a mark in the runs folder.

A run that is in the list but not in the store was deleted by the user. A run that is not in the list was lost with
another file, or is newer than a restored backup. The mark is the last line of the list: a store without that line is
another store or an older copy.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dlcli.files.regular import read_regular
from dlcli.tracking.database import another_programs, open_database
from dlcli.tracking.ledger import Ledger, atomic_write
from dlcli.tracking.schema import is_known_complete, tables

MARK_FILE = ".entered.json"

_LIST = "dlcli_runs"
_MAX_BYTES = 1 << 20  # maximum size of the mark


class KnownRun(NamedTuple):
    """A line of the list. Line numbers are never reused: a line that is rewritten gets a new number."""

    number: int
    run_id: str
    ended_at: str | None


def note(connection: sqlite3.Connection, ledgers: Iterable[Ledger]) -> None:
    """Add runs to the list, each with the time of its end if the store has all of it.

    Raises:
        StoreError: The file is not a store; another program has replaced it since it was checked.
    """
    if not is_known_complete(connection):
        raise another_programs(Path(connection.execute("PRAGMA database_list").fetchone()[2]))
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_LIST} "
        "(number INTEGER PRIMARY KEY AUTOINCREMENT, run_uuid TEXT NOT NULL UNIQUE, ended_at TEXT)"
    )
    added = [(ledger.run_id, None if ledger.unfinished else ledger.ended_at) for ledger in ledgers]
    connection.executemany(f"INSERT OR REPLACE INTO {_LIST} (run_uuid, ended_at) VALUES (?, ?)", added)


@contextmanager
def noting(file: Path, runs_dir: Path) -> Iterator[tuple[sqlite3.Connection, Callable[[Ledger], None]]]:
    """A transaction: yield the connection, and a function that adds a run to the list.

    After the commit, the mark is updated if it belongs to this store.
    """
    added = False

    def add(ledger: Ledger) -> None:
        nonlocal added
        note(connection, [ledger])
        added = True

    with open_database(file) as connection:
        connection.execute("BEGIN IMMEDIATE")
        mark = _marks(runs_dir).get(_key(file, runs_dir))
        is_ours = _has_line(connection, mark) if mark else _is_empty(connection)
        yield connection, add
        last = _last_line(connection) if added and is_ours else None
    if last:
        _write_marks(runs_dir, _marks(runs_dir) | {_key(file, runs_dir): last})


def known_runs(connection: sqlite3.Connection) -> dict[str, KnownRun]:
    """Return the list by run ID."""
    if _LIST not in tables(connection):
        return {}
    found = map(KnownRun._make, connection.execute(f"SELECT number, run_uuid, ended_at FROM {_LIST}"))
    return {line.run_id: line for line in found}


def has_had(connection: sqlite3.Connection, run_id: str) -> bool:
    """Return whether the store has, or has had, a run."""
    question = f"SELECT 1 FROM {_LIST} WHERE run_uuid = ?"
    return _LIST in tables(connection) and connection.execute(question, (run_id,)).fetchone() is not None


def set_mark(file: Path, runs_dir: Path) -> None:
    """Record that the store has all runs of a runs folder."""
    with open_database(file) as connection:
        last = _last_line(connection)
    if last:
        _write_marks(runs_dir, _marks(runs_dir) | {_key(file, runs_dir): last})


def is_marked(file: Path, runs_dir: Path) -> bool:
    """Return whether the store has all runs of a runs folder, without reading the runs."""
    mark = _marks(runs_dir).get(_key(file, runs_dir))
    if mark is None:
        return False
    with open_database(file) as connection:
        return _has_line(connection, mark)


def _has_line(connection: sqlite3.Connection, mark: tuple[int, str]) -> bool:
    question = f"SELECT run_uuid FROM {_LIST} WHERE number = ?"
    return _LIST in tables(connection) and connection.execute(question, (mark[0],)).fetchall() == [(mark[1],)]


def _last_line(connection: sqlite3.Connection) -> tuple[int, str] | None:
    found: tuple[int, str] | None = connection.execute(
        f"SELECT number, run_uuid FROM {_LIST} ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return found


def _write_marks(runs_dir: Path, marks: Mapping[str, tuple[int, str]]) -> None:
    atomic_write(runs_dir / MARK_FILE, json.dumps(marks) + "\n", durable=False)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return _LIST not in tables(connection) or not connection.execute(f"SELECT 1 FROM {_LIST}").fetchone()


def _marks(runs_dir: Path) -> dict[str, tuple[int, str]]:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        document = json.loads(read_regular(runs_dir / MARK_FILE, _MAX_BYTES))
        return {str(key): (int(number), str(run_id)) for key, (number, run_id) in document.items()}
    return {}


def _key(file: Path, runs_dir: Path) -> str:
    """Return the key of a store in the marks; a relative path for a store in the runs folder, which may be moved."""
    return str(file.relative_to(runs_dir)) if file.is_relative_to(runs_dir) else str(file)

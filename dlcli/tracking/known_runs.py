"""Which runs a SQLite store has had: it says so itself, and a mark beside the runs tells one store from another.

A run that the store has had and has no more was deleted by its user. One that it never had was lost with another file,
or with the changes since the backup that lies there now. The mark is the last line that was written to the store's
list: a store without that line is another one, or an older copy.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dlcli.tracking.database import opened
from dlcli.tracking.ledger import Ledger, atomic_write
from dlcli.tracking.schema import tables

MARK_FILE = ".entered.json"

_LIST = "dlcli_runs"


class Line(NamedTuple):
    """A line of the list. Lines are numbered without end: one that is written anew gets a new number."""

    number: int
    run_id: str
    ended_at: str | None


def note(connection: sqlite3.Connection, ledgers: Iterable[Ledger]) -> None:
    """Write down that the store has these runs, and with which end it has all of them."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_LIST} "
        "(number INTEGER PRIMARY KEY AUTOINCREMENT, run_uuid TEXT NOT NULL UNIQUE, ended_at TEXT)"
    )
    lines = [(ledger.run_id, None if ledger.unfinished else ledger.ended_at) for ledger in ledgers]
    connection.executemany(f"INSERT OR REPLACE INTO {_LIST} (run_uuid, ended_at) VALUES (?, ?)", lines)


def note_run(file: Path, ledger: Ledger) -> None:
    """Write down one run, and move the mark on, where the store was the one that it marks."""
    runs_dir = ledger.runs_dir
    with opened(file) as connection:
        is_new = _is_empty(connection) and _key(file, runs_dir) not in _marks(runs_dir)
    is_ours = is_new or is_marked(file, runs_dir)
    with opened(file) as connection:
        note(connection, [ledger])
    if is_ours:
        set_mark(file, runs_dir)


def lines(connection: sqlite3.Connection) -> dict[str, Line]:
    """The whole list, by run."""
    if _LIST not in tables(connection):
        return {}
    found = map(Line._make, connection.execute(f"SELECT number, run_uuid, ended_at FROM {_LIST}"))
    return {line.run_id: line for line in found}


def has_had(connection: sqlite3.Connection, run_id: str) -> bool:
    """Whether the store has, or once had, a run."""
    question = f"SELECT 1 FROM {_LIST} WHERE run_uuid = ?"
    return _LIST in tables(connection) and connection.execute(question, (run_id,)).fetchone() is not None


def set_mark(file: Path, runs_dir: Path) -> None:
    """Say that the store has all runs of a folder."""
    with opened(file) as connection:
        last = connection.execute(
            f"SELECT number, run_uuid FROM {_LIST} ORDER BY number DESC LIMIT 1"
        ).fetchone()
    if last:
        marks = _marks(runs_dir) | {_key(file, runs_dir): last}
        atomic_write(runs_dir / MARK_FILE, json.dumps(marks) + "\n", durable=False)


def is_marked(file: Path, runs_dir: Path) -> bool:
    """Whether the store has all runs of a folder: costs no look at the runs."""
    mark = _marks(runs_dir).get(_key(file, runs_dir))
    with opened(file) as connection:
        if mark is None or _LIST not in tables(connection):
            return False
        question = f"SELECT run_uuid FROM {_LIST} WHERE number = ?"
        return connection.execute(question, (mark[0],)).fetchall() == [(mark[1],)]


def _is_empty(connection: sqlite3.Connection) -> bool:
    return _LIST not in tables(connection) or not connection.execute(f"SELECT 1 FROM {_LIST}").fetchone()


def _marks(runs_dir: Path) -> dict[str, tuple[int, str]]:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        document = json.loads((runs_dir / MARK_FILE).read_bytes())
        return {str(key): (int(number), str(run_id)) for key, (number, run_id) in document.items()}
    return {}


def _key(file: Path, runs_dir: Path) -> str:
    """A store in the runs folder moves with it."""
    return str(file.relative_to(runs_dir)) if file.is_relative_to(runs_dir) else str(file)

"""A SQLite store that has lost what it had is filled again from the ledgers.

The file may have been moved away, deleted, or replaced by an empty one or by a backup. Runs keep their IDs. A run that
the user deleted in this store stays deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dlcli.errors import CorruptRun
from dlcli.formatting import counted
from dlcli.tracking.connection import connect, sqlite_file
from dlcli.tracking.database import locked_store, opened
from dlcli.tracking.known_runs import has_had, is_marked, lines, note, set_mark
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.places import original_of
from dlcli.tracking.store_rows import enter

if TYPE_CHECKING:
    import sqlite3

    from dlcli.tracking.known_runs import Line

_NONSENSE = (CorruptRun, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
_BATCH = 100  # runs in a transaction: others wait to write meanwhile

_log = logging.getLogger(__name__)


class Watch:
    """Notices that a store's file became another one while it was in use: then fills it, and connects anew."""

    def __init__(self, uri: str, runs_dir: Path) -> None:
        self._uri, self._runs_dir = uri, runs_dir
        self._file = sqlite_file(uri)
        self._seen = _identity(self._file)

    def follow(self, ledger: Ledger | None = None) -> bool:
        """See to it that the store has what it had, and this run; whether it had become another one."""
        if self._file is None or self._is_as_it_was(self._file, ledger):
            return False
        connect(self._uri)
        refill(self._uri, self._runs_dir)
        if ledger is not None:  # what was sent since the file went away is in no file any more
            with opened(self._file) as connection:
                connection.execute("BEGIN IMMEDIATE")
                if not has_had(connection, ledger.run_id) or ledger.run_id in _active(connection):
                    enter(connection, ledger)
                    note(connection, [ledger])
        self._seen = _identity(self._file)
        return True

    def _is_as_it_was(self, file: Path, ledger: Ledger | None) -> bool:
        if _identity(file) != self._seen or file.stat().st_size == 0:
            return False
        if ledger is None:
            return is_marked(file, self._runs_dir)
        with opened(file) as connection:
            return has_had(connection, ledger.run_id)


def refill(uri: str, runs_dir: Path, tell: Callable[[str], None] = _log.warning) -> None:
    """Enter the runs of a folder that a store lacks, where it is not the one that it was; costs a look at a file else.

    `tell` gets a line for what was entered. A kill leaves some runs entered: the next command goes on. Stores that
    are no SQLite file give runs their IDs themselves, and cannot be filled.
    """
    file = sqlite_file(uri)
    if file is None or is_marked(file, runs_dir):
        return
    with locked_store(file):
        if not is_marked(file, runs_dir):
            _Refill(file, uri, runs_dir).carry_out(tell)


@dataclass
class _Refill:
    file: Path
    uri: str
    runs_dir: Path
    unreadable: list[Path] = field(default_factory=list)

    def carry_out(self, tell: Callable[[str], None]) -> None:
        ledgers = sorted(self._ledgers(), key=lambda ledger: str(ledger.created_at))
        with opened(self.file) as connection:
            had, there = lines(connection), _active(connection)
        lost = [x for x in ledgers if x.run_id not in had and x.run_id not in there]
        ours = [x for x in ledgers if x.run_id in there and not original_of(x, there[x.run_id].artifact_uri)]
        behind = [x for x in ours if _is_behind(x, had, there[x.run_id].status)]
        known = [x for x in ours if x.run_id not in had and x not in behind]
        for start in range(0, len(lost) + len(behind), _BATCH):
            self._enter([x.run_dir for x in (lost + behind)[start : start + _BATCH]])
        with opened(self.file) as connection:
            note(connection, known)
        set_mark(self.file, self.runs_dir)
        lost, behind = ([x for x in some if x.run_dir not in self.unreadable] for some in (lost, behind))
        if lost:
            what = "was new" if not there else "lacked some of its runs"
            source = "its ledger" if len(lost) == 1 else "their ledgers"
            tell(f"The MLflow store {what}: {_were(len(lost))} entered again from {source}.")
        if behind:
            tell(f"The MLflow store was older than its runs: {_were(len(behind))} brought up to date.")
        if self.unreadable:
            which = ", ".join(map(str, self.unreadable[:3]))
            tell(f"{_were(len(self.unreadable))} left out, since the ledger cannot be read: {which}")

    def _enter(self, folders: list[Path]) -> None:
        with opened(self.file) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # Read only now: what a run that goes on sends later comes later.
            note(connection, [x for folder in folders if (x := self._enter_one(connection, folder))])

    def _enter_one(self, connection: sqlite3.Connection, folder: Path) -> Ledger | None:
        """One folder that holds nonsense must not keep the others out of the store, nor every command from its work."""
        import sqlite3

        connection.execute("SAVEPOINT run")
        try:
            ledger = Ledger.load(folder)
            enter(connection, ledger)
        except (*_NONSENSE, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError):
            connection.execute("ROLLBACK TO run")
            self.unreadable.append(folder)
            return None
        connection.execute("RELEASE run")
        return ledger

    def _ledgers(self) -> Iterator[Ledger]:
        for path in self.runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}"):
            try:
                ledger = Ledger.load(path.parent)
            except CorruptRun:
                self.unreadable.append(path.parent)
                continue
            if ledger.is_in_place and sqlite_file(ledger.store_uri) == self.file:
                yield ledger


def _is_behind(ledger: Ledger, had: dict[str, Line], status: str) -> bool:
    if ledger.run_id in had:
        return not ledger.unfinished and had[ledger.run_id].ended_at != ledger.ended_at
    return status != ledger.status


class _Row(NamedTuple):
    status: str
    artifact_uri: str


def _active(connection: sqlite3.Connection) -> dict[str, _Row]:
    question = "SELECT run_uuid, status, artifact_uri FROM runs WHERE lifecycle_stage = 'active'"
    return {run_id: _Row(status, uri or "") for run_id, status, uri in connection.execute(question)}


def _identity(file: Path | None) -> tuple[int, int] | None:
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _were(number: int) -> str:
    return f"{counted(number, 'run')} {'was' if number == 1 else 'were'}"

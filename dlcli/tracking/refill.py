"""Refill a SQLite store from the ledgers after its file was lost.

The file may have been moved, deleted, or replaced by an empty file or a backup. Runs keep their IDs. A run that the
user had deleted in this store remains deleted.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dlcli.errors import CorruptRun
from dlcli.formatting import counted
from dlcli.tracking.connection import prepare, sqlite_file
from dlcli.tracking.database import locked_store, open_database
from dlcli.tracking.known_runs import KnownRun, has_had, is_marked, known_runs, note, set_mark
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.places import original_of
from dlcli.tracking.store_rows import enter

_INVALID = (CorruptRun, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
_BATCH = 100  # runs per transaction, during which other processes cannot write

_log = logging.getLogger(__name__)


class Watch:
    """Detects that a store's file was replaced during its use; then refills it and reconnects."""

    def __init__(self, uri: str, runs_dir: Path) -> None:
        self._uri, self._runs_dir = uri, runs_dir
        self._file = sqlite_file(uri)
        self._seen = _identity(self._file)

    def follow(self, ledger: Ledger | None = None) -> bool:
        """Refill the store if its file was replaced, and return whether it was.

        Args:
            ledger: ledger of a run that must be in the store.
        """
        if self._file is None or self._is_unchanged(self._file, ledger):
            return False
        prepare(self._uri)
        refill(self._uri, self._runs_dir)
        if ledger is not None:  # data that was sent after the file had disappeared is lost
            with open_database(self._file) as connection:
                connection.execute("BEGIN IMMEDIATE")
                if not has_had(connection, ledger.run_id) or ledger.run_id in _active(connection):
                    enter(connection, ledger)
                    note(connection, [ledger])
        self._seen = _identity(self._file)
        return True

    def _is_unchanged(self, file: Path, ledger: Ledger | None) -> bool:
        if _identity(file) != self._seen or file.stat().st_size == 0:
            return False
        if ledger is None:
            return is_marked(file, self._runs_dir)
        with open_database(file) as connection:
            return has_had(connection, ledger.run_id)


def refill(uri: str, runs_dir: Path, tell: Callable[[str], None] = _log.warning) -> None:
    """If the file of a SQLite store was replaced, insert the runs of a folder that it lacks.

    Otherwise, this only reads one small file. After a kill, the next command continues. Stores other than SQLite files
    assign IDs to runs, and cannot be refilled.

    Args:
        uri: address of the store.
        runs_dir: the runs folder.
        tell: called with a note on the inserted runs.
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
        with open_database(self.file) as connection:
            had, present = known_runs(connection), _active(connection)
        lost = [x for x in ledgers if x.run_id not in had and x.run_id not in present]
        ours = [
            x for x in ledgers if x.run_id in present and not original_of(x, present[x.run_id].artifact_uri)
        ]
        outdated = [x for x in ours if _is_outdated(x, had, present[x.run_id].status)]
        known = [x for x in ours if x.run_id not in had and x not in outdated]
        for start in range(0, len(lost) + len(outdated), _BATCH):
            self._enter([x.run_dir for x in (lost + outdated)[start : start + _BATCH]])
        with open_database(self.file) as connection:
            note(connection, known)
        set_mark(self.file, self.runs_dir)
        lost, outdated = ([x for x in some if x.run_dir not in self.unreadable] for some in (lost, outdated))
        if lost:
            what = "was empty" if not present else "lacked some of its runs"
            source = "its ledger" if len(lost) == 1 else "their ledgers"
            tell(f"The MLflow store {what}: {_were(len(lost))} restored from {source}.")
        if outdated:
            tell(f"The MLflow store was older than its runs: {_were(len(outdated))} updated.")
        if self.unreadable:
            which = ", ".join(map(str, self.unreadable[:3]))
            tell(f"{_were(len(self.unreadable))} not restored because of unreadable ledgers: {which}")

    def _enter(self, folders: list[Path]) -> None:
        with open_database(self.file) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # Ledgers are read within the transaction, so that it does not overwrite later updates of running runs.
            note(connection, [x for folder in folders if (x := self._enter_one(connection, folder))])

    def _enter_one(self, connection: sqlite3.Connection, folder: Path) -> Ledger | None:
        """Insert one run. An invalid folder is skipped, so that it affects neither other runs nor commands."""
        connection.execute("SAVEPOINT run")
        try:
            ledger = Ledger.load(folder)
            enter(connection, ledger)
        except (*_INVALID, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError):
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


def _is_outdated(ledger: Ledger, had: dict[str, KnownRun], status: str) -> bool:
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

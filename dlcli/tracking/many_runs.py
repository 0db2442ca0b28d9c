"""Send many runs that have ended to a store at once."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.errors import CorruptRun, DlcliError, StoreError
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.tracking.connection import NO_ANSWER, deleted_experiment, store_errors
from dlcli.tracking.known_runs import has_had, noting
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import ACTIVE_DIR, RunLock
from dlcli.tracking.projection import Projection, is_in_mlflow
from dlcli.tracking.refill import Watch
from dlcli.tracking.store_rows import enter, find_experiment, find_row, update

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Runs of one transaction, the seconds that they wait at most, and those after a failure: each attempt may wait for
# another program, and the driver starts no job meanwhile.
_TOGETHER, _SECONDS, _BACKOFF = 32, 2.0, 30.0

_log = logging.getLogger(__name__)


class Unsent:
    """Runs that are sent to MLflow together: child runs that have ended, and their changes after the end.

    Args:
        uri: address of the store.
        runs_dir: the runs folder.
        file: the SQLite file of the runs folder, to which rows are written directly; None for other stores.
        connected: returns MLflow's client for another store.
    """

    def __init__(
        self, uri: str, runs_dir: Path, file: Path | None, connected: Callable[[], MlflowClient]
    ) -> None:
        self._uri, self._runs_dir = uri, runs_dir
        self._enter: _Enter = partial(_in_file, file, runs_dir) if file else partial(_by_client, connected)
        self._folders: dict[Path, None] = {}
        self._calls = 0  # since the last attempt: about as many runs have ended
        self._tried = time.monotonic()
        self._fails = self._fails_at_end = False
        self._told: set[object] = set()

    def add(self, run_dir: Path) -> None:
        """Add a run, which may not have started."""
        self._folders[run_dir] = None

    def send(self, watch: Watch, *, now: bool) -> None:
        """Send the runs that have ended; at times only, unless `now`. If the store fails, later attempts follow."""
        self._calls += 1
        if not (self._folders and self._is_due(now)):
            return
        try:
            with store_errors(self._uri):
                watch.follow()
                result = _send_ended(self._enter, self._runs_dir, list(self._folders))
        except DlcliError as error:
            self._fails, self._fails_at_end = True, now
            if now:
                reason = error.problems[0].message
                self._tell(
                    None, f"MLflow lacks runs that have ended ({reason}); the next dlcli command sends them."
                )
        else:
            self._fails = self._fails_at_end = False
            self._folders = dict.fromkeys([*result.left, *result.failed])
            self._tell_problems(result)
        finally:
            self._calls, self._tried = 0, time.monotonic()

    def _is_due(self, now: bool) -> bool:
        waited = time.monotonic() - self._tried
        if self._fails:
            return waited > _BACKOFF or (now and not self._fails_at_end)
        return now or self._calls >= _TOGETHER or waited > _SECONDS

    def _tell_problems(self, result: _Result) -> None:
        for name, experiment_id in result.deleted.items():
            problem = deleted_experiment(experiment_id, name, self._uri).problems[0]
            self._tell(
                name, f"{problem.message}, and MLflow hides the runs that this command adds. {problem.hint}"
            )
        if new := {folder: why for folder, why in result.failed.items() if folder not in self._told}:
            folder, why = next(iter(new.items()))
            self._told.update(new)
            _log.warning(
                "MLflow lacks %s that it cannot store, %s (%s). The record in the folder is kept.",
                counted(len(new), "run"),
                f"such as {display(folder)}" if len(new) > 1 else display(folder),
                why,
            )

    def _tell(self, what: object, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            _log.warning("%s", message)


@dataclass
class _Result:
    """Data that was not sent: unfinished runs, failed ones with the reason, and deleted experiments."""

    left: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    deleted: dict[str, int | str] = field(default_factory=dict)


_Ended = Sequence[tuple[Ledger, RunLock]]
_Enter = Callable[[_Ended, _Result], None]


def _send_ended(send: _Enter, runs_dir: Path, folders: Sequence[Path]) -> _Result:
    """Send the runs of some folders that have ended, a limited number at a time, since each holds a file open.

    A run that a process is recording, or that has not started, is skipped.
    """
    result = _Result()
    rest = iter(folders)
    while True:
        with _some_ended(rest, runs_dir, result) as ended:
            if not ended:
                return result
            send(ended, result)


@contextmanager
def _some_ended(folders: Iterator[Path], runs_dir: Path, result: _Result) -> Iterator[_Ended]:
    """Lock the entries of the next runs that have ended; the others are added to the result."""
    held: list[RunLock] = []
    ended: list[tuple[Ledger, RunLock]] = []
    try:
        for folder in folders:
            ledger = _ledger(folder)
            if ledger is None:
                continue
            path = runs_dir / ACTIVE_DIR / ledger.token
            entry = None if ledger.unfinished else RunLock.take_over(path)
            if entry is None:
                if ledger.unfinished or path.exists():
                    result.left.append(folder)
                continue
            held.append(entry)
            # Read again under the lock: another command may have changed it meanwhile.
            ledger = _ledger(folder)
            if ledger is None or ledger.unfinished:
                entry.release()
                result.left.append(folder)
                continue
            ended.append((ledger, entry))
            if len(ended) == _TOGETHER:
                break
        yield ended
    finally:
        for entry in held:
            entry.release()


def _ledger(folder: Path) -> Ledger | None:
    """Return the ledger of a folder; None if it was moved or damaged meanwhile."""
    try:
        return Ledger.load(folder)
    except CorruptRun:
        return None


def _in_file(file: Path, runs_dir: Path, ended: _Ended, result: _Result) -> None:
    """Enter runs in one transaction, without those that SQLite cannot store."""
    sent: list[tuple[Ledger, RunLock]] = []
    with noting(file, runs_dir) as (connection, add):
        for ledger, entry in ended:
            connection.execute("SAVEPOINT run")
            try:
                if _enter_one(connection, add, ledger, result.deleted):
                    sent.append((ledger, entry))
            except sqlite3.OperationalError:  # of the store, such as a full disk
                raise
            except Exception as error:
                connection.execute("ROLLBACK TO run")
                result.failed[ledger.run_dir] = _reason(error)
            connection.execute("RELEASE run")
    for ledger, entry in sent:
        ledger.update(durable=False)
        if is_in_mlflow(ledger):
            entry.remove()
        else:
            result.left.append(ledger.run_dir)


def _enter_one(
    connection: sqlite3.Connection,
    add: Callable[[Ledger], None],
    ledger: Ledger,
    deleted: dict[str, int | str],
) -> bool:
    """Enter a run, or its changes; return False for a run that the user has deleted in MLflow."""
    found = find_row(connection, ledger.run_id)
    if found is None and has_had(connection, ledger.run_id):
        return False  # `reconcile` removes its entry
    if found is not None and found.stage != "active":
        return False
    experiment = find_experiment(connection, ledger.experiment)
    if experiment is not None and experiment.stage == "deleted":
        deleted[ledger.experiment] = experiment.experiment_id
    progress: Mapping[str, Any]
    if found is not None and ledger.projected:
        progress = update(connection, ledger)  # it keeps tags that the user has changed in MLflow
    else:
        offset = enter(connection, ledger)
        progress = {
            "status": ledger.status,
            "name": ledger.run_name,
            "tags": dict(ledger.tags),
            "offset": offset,
        }
    ledger.set(projected={**ledger.projected, **progress})
    if is_in_mlflow(ledger):
        add(ledger)
    return True


def _by_client(connected: Callable[[], MlflowClient], ended: _Ended, result: _Result) -> None:
    """Send the missing data of some runs to another store, one run after the other."""
    for ledger, entry in ended:
        try:
            projection = Projection(ledger, connected)
            projection.push_all()
        except StoreError as error:
            if error.problems[0].message == NO_ANSWER:
                raise
            result.failed[ledger.run_dir] = _reason(error)
            continue
        if projection.complete:
            entry.remove()


def _reason(error: Exception) -> str:
    return error.problems[0].message if isinstance(error, DlcliError) else f"{error}"

"""Reconciliation: record runs whose process has ended as killed, and update MLflow.

Called by every command that opens the store. The cost grows with the number of unfinished runs, not of all runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.errors import CorruptRun, DlcliError, StoreError
from dlcli.files.paths import display
from dlcli.files.unfinished import remove_abandoned
from dlcli.tracking.connection import (
    DATABASE,
    NO_ANSWER,
    NO_RUN,
    sqlite_file,
    store_errors,
)
from dlcli.tracking.history import HISTORY_FILE
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.lifecycle import clients_of, tell_mlflow
from dlcli.tracking.liveness import RunLock, entries, read_entry
from dlcli.tracking.mlflow_tags import HEARTBEAT_TAG, TOKEN_TAG
from dlcli.tracking.places import find_folder, link_out, original_of
from dlcli.tracking.projection import Projection
from dlcli.tracking.recorder import release_reserve
from dlcli.tracking.store import Store
from dlcli.tracking.trash import settle_folders, settled_folders
from dlcli.tracking.unrecorded import remove_unrecorded

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_HEARTBEAT_LIMIT = 600.0  # seconds: twenty missed heartbeats, since clocks of two machines may differ
_OPEN = ("RUNNING", "SCHEDULED")


def reconcile(runs_dir: Path, store: Store | None = None) -> list[str]:
    """Settle runs whose process has ended, and return a note for each run that was killed.

    Never fails: if the store does not answer, a later command updates it. The ledgers do not depend on it.
    """
    work = _Reconciliation(runs_dir.resolve(), store)
    remove_abandoned(work.runs_dir)
    with settled_folders(work.runs_dir) as unknown:
        for intent in unknown:
            with suppress(DlcliError):
                tell_mlflow(work.runs_dir, intent, work.client)
    paths = entries(work.runs_dir)
    work.by_run = {run_id: path for path in paths if (run_id := read_entry(path).get("run_id"))}
    for path in paths:
        if entry := RunLock.take_over(path):
            try:
                work.try_to_settle(entry)
            finally:
                entry.release()
    if store is not None and store.is_server:
        with suppress(DlcliError), store_errors(store.uri):
            _settle_elsewhere(store.client, work.by_run)
    return work.notes


def settle_ledgers(runs_dir: Path) -> list[str]:
    """Record runs whose process has ended as killed, in their ledgers only, and return a note for each.

    It is for commands that do not open the store: MLflow is not imported, and the next command that opens the store
    updates it. Never fails, since the folder may not be writable.
    """
    work = _Reconciliation(runs_dir.resolve(), None)
    settle_folders(work.runs_dir)
    paths = entries(work.runs_dir)
    work.by_run = {run_id: path for path in paths if (run_id := read_entry(path).get("run_id"))}
    for path in work.by_run.values():
        if entry := RunLock.take_over(path):
            try:
                with suppress(DlcliError):
                    if ledger := work.known_ledger(read_entry(path)):
                        work.settle_ledger(ledger)
            finally:
                entry.release()
    return work.notes


@dataclass
class _Reconciliation:
    runs_dir: Path
    store: Store | None
    by_run: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    clients: dict[str | None, MlflowClient | StoreError] = field(default_factory=dict)

    def try_to_settle(self, entry: RunLock) -> None:
        """Settle one run as far as possible; the next command tries again."""
        uri = self._store_of(read_entry(entry.path))
        try:
            self.settle(entry)
        except StoreError as error:
            if error.problems[0].message == NO_ANSWER:  # wait once for the store, not for each run
                self.clients[uri] = error
        except DlcliError:
            pass

    def settle(self, entry: RunLock) -> None:
        """Settle one run whose entry no other process holds."""
        about = read_entry(entry.path)
        if "experiment" not in about:
            entry.remove()
            return
        ledger = self._ledger(about)
        if ledger is None:  # killed before there was a ledger, or the folder was deleted
            if (left := remove_unrecorded(self.runs_dir, about)) is not None:
                self.notes.append(f"{display(left)} has no {LEDGER_FILE}, and is not a run. Delete it.")
            self._kill_without_ledger(about)
            entry.remove()
            return
        _sweep(ledger.run_dir)
        if not self.settle_ledger(ledger):
            return
        projection = Projection(ledger, partial(self.client, ledger.tracking_uri))
        projection.follow()
        try:
            is_not_ours = _is_not_ours(projection, ledger)
        except StoreError as error:
            if error.problems[0].message != NO_RUN:
                raise
            is_not_ours = True
            # The user must have deleted it in the SQLite file; otherwise `follow` would have inserted it again.
            if sqlite_file(ledger.store_uri) is None:
                self.notes.append(
                    f"{ledger.run_name} ({ledger.run_id[:8]}): {NO_RUN}. {error.problems[0].hint}"
                )
        if is_not_ours:
            entry.remove()
            return
        projection.push_all()
        if projection.complete:
            entry.remove()

    def settle_ledger(self, ledger: Ledger) -> bool:
        """Record in its ledger that a run was killed if its process has ended; return False if it has not started."""
        if ledger.status == "SCHEDULED" and self._is_alive(ledger.parent_id):
            return False
        if ledger.unfinished:
            _sweep(ledger.run_dir)
            ledger.update(status="KILLED", ended_at=_last_sign_of_life(ledger.run_dir))
            self.notes.append(
                f"{ledger.run_name} ({ledger.run_id[:8]}) was killed, and is now recorded as such."
            )
        return True

    def _ledger(self, about: dict[str, Any]) -> Ledger | None:
        """Return the run's ledger in this runs folder; a recorded location outside is ignored."""
        if about.get("run_id"):
            return self.known_ledger(about)
        for run in self._runs_of_token(about):
            if ledger := self.known_ledger({"run_id": run.info.run_id}):
                return ledger
        return None

    def known_ledger(self, about: Mapping[str, Any]) -> Ledger | None:
        """Return the ledger of the run of an entry, if it is in this runs folder and can be read."""
        folder = find_folder(self.runs_dir, str(about.get("run_id")))
        if folder is None or link_out(folder) is not None:  # the run belongs to another runs folder
            return None
        with suppress(CorruptRun):
            return Ledger.load(folder)
        return None

    def _kill_without_ledger(self, about: dict[str, Any]) -> None:
        uri = self._store_of(about)
        for run in self._runs_of_token(about):
            if run.info.status in _OPEN:
                with store_errors(uri or ""):
                    self.client(uri).set_terminated(run.info.run_id, "KILLED")

    def _runs_of_token(self, about: dict[str, Any]) -> list[Run]:
        uri = self._store_of(about)
        client = self.client(uri)
        with store_errors(uri or ""):
            experiment = client.get_experiment_by_name(about["experiment"])
            if experiment is None:
                return []
            only = f"tags.`{TOKEN_TAG}` = '{about['token']}'"
            return list(client.search_runs([experiment.experiment_id], only))

    def _store_of(self, about: Mapping[str, Any]) -> str | None:
        """Return the store of an entry; None for that of the runs folder, whose address earlier versions recorded."""
        uri = about.get("tracking_uri")
        return None if not uri or sqlite_file(str(uri)) == self.runs_dir / DATABASE else str(uri)

    def _is_alive(self, run_id: str | None) -> bool:
        """Return whether a process works on a run or on one of its ancestors."""
        path = self.by_run.get(run_id or "")
        if path is None:
            return False
        entry = RunLock.take_over(path)
        if entry is None:
            return path.exists()
        entry.release()
        return self._is_alive(read_entry(path).get("parent_id"))

    def client(self, uri: str | None) -> MlflowClient:
        """Return a client for the store; a store that did not answer is not tried again."""
        if uri not in self.clients and self.store is not None and uri == self.store.recorded_uri:
            self.clients[uri] = self.store.client
        return clients_of(self.runs_dir, self.clients)(uri)


def _sweep(run_dir: Path) -> None:
    """Remove temporary files of the run's process. Links are not followed."""
    release_reserve(run_dir)
    for place, _, _ in os.walk(run_dir):
        remove_abandoned(Path(place))
    checkpoints = run_dir / "checkpoints"
    for folder in (run_dir, *(() if checkpoints.is_symlink() else (checkpoints,))):
        for file in folder.glob("*.partial"):
            with suppress(OSError):
                file.unlink()


def _is_not_ours(projection: Projection, ledger: Ledger) -> bool:
    """Return whether the run was deleted in MLflow, or belongs to the runs folder of which this is a copy.

    In both cases, MLflow must not be updated. Raises StoreError if the store does not have the run.
    """
    found = projection.find()
    return found.stage == "deleted" or original_of(ledger, found.artifact_uri) is not None


def _last_sign_of_life(run_dir: Path) -> str:
    times = [0.0]
    for name in (LEDGER_FILE, HISTORY_FILE):
        with suppress(OSError):
            times.append((run_dir / name).stat().st_mtime)
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="milliseconds")


def _settle_elsewhere(client: MlflowClient, here: Collection[str]) -> None:
    """Record runs on a server as killed if their machine has not sent a heartbeat for too long."""
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    only = f"attributes.status = 'RUNNING' and tags.`{HEARTBEAT_TAG}` LIKE '%'"
    for run in client.search_runs(ids, only) if ids else ():
        silence = time.time() - float(run.data.tags[HEARTBEAT_TAG])
        if silence > _HEARTBEAT_LIMIT and run.info.run_id not in here:
            client.set_terminated(run.info.run_id, "KILLED")

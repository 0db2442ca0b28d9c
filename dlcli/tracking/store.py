"""Open a store and create runs in it, for the driver."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from os import getpid
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from dlcli.errors import DlcliError, StoreError
from dlcli.files.disk import write_errors
from dlcli.sanitize.escapes import shortened, visible, visible_name
from dlcli.sanitize.redact import redact, redact_value
from dlcli.tracking.by_name import link_run
from dlcli.tracking.connection import (
    connect,
    default_store,
    deleted_experiment,
    is_server,
    load_mlflow,
    prepare,
    probe,
    remember,
    sqlite_file,
    store_errors,
    tracking_uri,
)
from dlcli.tracking.database import check_no_programs, locked_store, open_database
from dlcli.tracking.digests import digest
from dlcli.tracking.known_runs import noting
from dlcli.tracking.ledger import Kind, Ledger, now, to_ms, write_new
from dlcli.tracking.liveness import RunLock, read_entry
from dlcli.tracking.many_runs import Unsent
from dlcli.tracking.mlflow_inputs import SHOWN_FILE, DatasetRecord, Shown
from dlcli.tracking.mlflow_tags import ERROR_TAG, KIND_TAG, PARENT_TAG, TAG_LENGTH, TOKEN_TAG, TRAINING_TAGS
from dlcli.tracking.places import folder_name, local_path, make_folder, run_folder
from dlcli.tracking.refill import Watch, refill
from dlcli.tracking.relocation import move_artifacts, relocate
from dlcli.tracking.store_rows import ExperimentRow, enter, fail, find_experiment
from dlcli.tracking.unrecorded import remove_unrecorded

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo


class Store:
    """An open MLflow store, in which a driver creates runs. A context manager.

    Until it is closed, it holds the entries of the runs that it has created (`dlcli.tracking.liveness`). It does not
    hold those of child runs, which count as alive with their parent, so that a sweep holds only one file open.

    Attributes:
        runs_dir: the runs folder.
        notes: notes for the user on repairs made when the store was opened.
        uri: address of the store.
        recorded_uri: the address for ledgers; None for the store of the runs folder.
        public_uri: the address without a password.
        is_server: whether the store is a server.
    """

    def __init__(self, runs_dir: Path, uri: str) -> None:
        self.runs_dir = runs_dir
        self.notes: tuple[str, ...] = ()
        self.uri = uri
        # The file of the runs folder's own store, to which rows are written directly; None for other stores.
        self._file = sqlite_file(uri) if uri == default_store(runs_dir) else None
        self.recorded_uri = remember(uri, runs_dir)
        self.public_uri = redact(uri)
        self.is_server = is_server(uri)
        self._experiments: dict[str, str] = {}
        self._held: list[RunLock] = []
        self._watch = Watch(uri, runs_dir)
        self._unsent = Unsent(uri, runs_dir, self._file, lambda: self.client)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client for the store, which is connected on first use."""
        return connect(self.uri)

    def create_run(
        self,
        *,
        experiment: str,
        run_name: str,
        kind: Kind,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent_id: str | None = None,
        datasets: Sequence[DatasetRecord] = (),
        files: Mapping[str, str | bytes] = MappingProxyType({}),
        about: Mapping[str, Any] = MappingProxyType({}),
        later: bool = False,
    ) -> Path:
        """Create a run with status SCHEDULED, its folder and its first ledger, and return the folder (`.../artifacts`).

        Args:
            experiment: name of the experiment.
            run_name: name of the run.
            kind: kind of run.
            params: params, which may be nested; secrets are masked.
            tags: tags; secrets are masked.
            parent_id: ID of the parent run.
            datasets: dataset inputs.
            files: initial files, as path in the folder to content.
            about: description of data and model for users (`Ledger.about`).
            later: whether the SQLite store of the runs folder may get the run later: from the process that records it,
                if that takes seconds, or with other runs from `project`.

        Raises:
            StoreError: The store refuses. An MLflow run that exists already is set to FAILED, as for other errors.
            InputError: The folder cannot be created.
            DiskFull: There is no space left.
        """
        token = secrets.token_hex(8)
        tags = {k: shortened(visible(redact_value(k, str(v))), TAG_LENGTH) for k, v in tags.items()}
        tags |= {KIND_TAG: kind, TOKEN_TAG: token} | ({PARENT_TAG: parent_id} if parent_id else {})
        run_name, experiment = visible_name(redact(run_name)), visible_name(redact(experiment))
        pid, host = getpid(), socket.gethostname()
        facts = {"tracking_uri": self.recorded_uri, "experiment": experiment, "run_name": run_name}
        owner = {"parent_id": parent_id, "pid": pid, "host": host}
        entry = RunLock.hold(self.runs_dir, token, facts | owner)
        try:
            with store_errors(self.uri):
                later = later and self._file is not None
                if not later and self._watch.follow():
                    self._experiments.clear()
                experiment_id = "" if self._file else self.experiment_id(experiment)
        except BaseException:
            entry.remove()
            raise
        # From here on the store may contain the run, so the entry is kept until the run has ended.
        with self._failing(entry) as created, store_errors(self.uri):
            created_at, shown = now(), Shown.of(params, datasets)
            info = None if self._file else self._register(experiment_id, run_name, created_at, tags)
            run_id = info.run_id if info else uuid4().hex
            created.append(run_id)
            contents = {**files, SHOWN_FILE: shown.to_json()}
            entry.add({"run_id": run_id, "files": list(contents)})
            run_dir = run_folder(self.runs_dir, experiment, run_id)
            make_folder(run_dir, within=self.runs_dir)
            artifact_uri = self._keep_artifacts(info, run_dir) if info else None
            for name, content in contents.items():
                make_folder((run_dir / name).parent, within=run_dir)
                write_new(run_dir / name, content)  # without a ledger, a folder is not yet a run
            if info:
                from dlcli.tracking.mlflow_entities import log_inputs, log_params

                self.client.update_run(run_id, status="SCHEDULED")
                log_params(self.client, run_id, shown)
                # Locked, because MLflow first checks whether a dataset exists and then inserts it, a race between runs.
                with _store_lock(self.runs_dir, self.uri):
                    log_inputs(self.client, run_id, shown)
            ledger = Ledger(
                run_dir,
                run_id=run_id,
                run_name=run_name,
                experiment=experiment,
                kind=kind,
                token=token,
                tracking_uri=self.recorded_uri,
                artifact_uri=artifact_uri,
                parent_id=parent_id,
                created_at=created_at,
                pid=pid,
                host=host,
                tags=tags,
                about=dict(about),
                digests={name: [digest(content)] for name, content in files.items()},
            )
            if (file := sqlite_file(self.uri)) and not later:
                with noting(file, self.runs_dir) as (connection, add):
                    if self._file:
                        self._check_experiment(find_experiment(connection, experiment), experiment)
                        enter(connection, ledger)
                    add(ledger)
            # The ledger is written last, so that a run with a ledger is complete.
            projected = {} if later else {"offset": 0, "tags": tags, "status": "SCHEDULED"}
            ledger.update(durable=not later, projected=projected)
            link_run(ledger)
            if later:
                self._unsent.add(run_dir)
        if parent_id is None:
            self._held.append(entry)
        else:
            entry.release()
        return run_dir

    def send_later(self, run_dir: Path) -> None:
        """Have `project` send the missing data of a run that has ended to MLflow."""
        self._unsent.add(run_dir)

    def project(self, *, now: bool = False) -> None:
        """Send MLflow the runs created `later`, or changed since, that have ended; at times only, unless `now`.

        If the store does not answer, the next command updates it.
        """
        self._unsent.send(self._watch, now=now)

    def close(self) -> None:
        """Release the entries of the runs. The next command settles those that are unfinished or not yet in MLflow."""
        self.project(now=True)
        for entry in self._held:
            entry.release()
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def experiment_id(self, name: str) -> str:
        """Return the ID of an experiment, which is created by MLflow's client if it does not exist."""
        if name not in self._experiments:
            with _store_lock(self.runs_dir, self.uri):
                self._experiments[name] = self._find_or_create(name)
        return self._experiments[name]

    def _find_or_create(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            # A server determines the location of artifacts; in other stores, a run's folder is its artifact folder.
            location = None if self.is_server else (self.runs_dir / folder_name(name)).as_uri()
            try:
                return self.client.create_experiment(name, artifact_location=location, tags=TRAINING_TAGS)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                # Another client of the server has created it meanwhile.
                found = self.client.get_experiment_by_name(name)
        if found is None:
            raise StoreError(f"the experiment {name!r} cannot be created", self.public_uri)
        self._check_experiment(ExperimentRow(found.experiment_id, found.lifecycle_stage), name)
        return found.experiment_id

    def _check_experiment(self, found: ExperimentRow | None, name: str) -> None:
        """Raise StoreError if an experiment is deleted."""
        if found is not None and found.stage == "deleted":
            raise deleted_experiment(found.experiment_id, name, self.public_uri)

    def _register(
        self, experiment_id: str, run_name: str, created_at: str, tags: Mapping[str, str]
    ) -> RunInfo:
        """Create a run with MLflow's client."""
        return self.client.create_run(
            experiment_id, start_time=to_ms(created_at), run_name=run_name, tags=dict(tags)
        ).info

    def _keep_artifacts(self, info: RunInfo, run_dir: Path) -> str | None:
        """Return the address for uploading a run's artifacts; None if its folder is registered as their location.

        Artifacts are uploaded only if the user has named a store that keeps them elsewhere. A database in the runs
        folder does not count, because it may come from another user.
        """
        here = local_path(info.artifact_uri)
        if here == run_dir:
            return None
        if self.is_server or (here is None and self.recorded_uri is not None):
            return info.artifact_uri
        move_artifacts(self.uri, {info.run_id: run_dir})
        return None

    @contextmanager
    def _failing(self, entry: RunLock) -> Iterator[list[str]]:
        """Yield a list for the ID of a new run; if the context raises, the run is recorded as failed."""
        created: list[str] = []
        try:
            yield created
        except DlcliError as error:
            reason = shortened(visible(redact(str(error))), TAG_LENGTH)
            remove_unrecorded(self.runs_dir, read_entry(entry.path))
            for run_id in created:
                with suppress(DlcliError), store_errors(self.uri):
                    self._record_failure(run_id, reason)
                    entry.remove()
            entry.release()
            raise
        except BaseException:
            entry.release()
            raise

    def _record_failure(self, run_id: str, reason: str) -> None:
        if self._file is None:
            self.client.set_terminated(run_id, "FAILED")
            self.client.set_tag(run_id, ERROR_TAG, reason)
            return
        with open_database(self._file) as connection:
            fail(connection, run_id, now(), reason)


def open_store(runs_dir: Path, uri: str | None = None) -> Store:
    """Open the store. A SQLite store is created, upgraded or refilled if necessary.

    If the store was moved or copied together with its runs folder, its artifact addresses are updated.

    Raises:
        StoreError: The store does not answer (reported within seconds), or cannot be used.
    """
    runs_dir = runs_dir.resolve()
    uri = tracking_uri(runs_dir, uri)
    probe(uri)
    notes: list[str] = []
    file = sqlite_file(uri)
    for folder in (runs_dir, *([file.parent] if file else [])):
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    if file and uri == default_store(runs_dir):
        check_no_programs(file)
    if file:
        prepare(uri, notes.append)
    store = Store(runs_dir, uri)
    if not file:
        load_mlflow(uri)
        with _store_lock(runs_dir, uri):
            store.client  # noqa: B018  # connected
    refill(uri, runs_dir, notes.append)
    if uri == default_store(runs_dir):
        with _store_lock(runs_dir, uri):
            moved = relocate(runs_dir)
        notes += [moved] if moved else []
    store.notes = tuple(notes)
    return store


def make_run_name(stem: str) -> str:
    """Return a readable and unique run name, such as `cnn-digits-3f2a`."""
    return f"{stem}-{secrets.token_hex(2)}"


def _store_lock(runs_dir: Path, uri: str) -> AbstractContextManager[None]:
    """Return the lock for creating experiments and datasets; a server needs none."""
    return nullcontext() if is_server(uri) else locked_store(sqlite_file(uri) or runs_dir / "mlflow")

"""Delete and restore runs in MLflow, after their folders, which are authoritative."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.errors import CorruptRun, StoreError
from dlcli.tracking.connection import (
    NO_RUN,
    connect,
    prepare,
    probe,
    recall,
    sqlite_file,
    store_errors,
)
from dlcli.tracking.known_runs import noting
from dlcli.tracking.ledger import LEDGER_FILE, Ledger, to_ms
from dlcli.tracking.logged_model import set_stage
from dlcli.tracking.places import local_path, original_of
from dlcli.tracking.projection import Projection, is_in_mlflow
from dlcli.tracking.server_models import delete_logged_model, log_model
from dlcli.tracking.store_rows import enter, find_row
from dlcli.tracking.trash import TRASH, Intent, Member, end, is_carried_out

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 100  # runs per transaction, during which other processes cannot write

Clients = Callable[[str | None], "MlflowClient"]


def clients_of(runs_dir: Path, known: dict[str | None, MlflowClient | StoreError] | None = None) -> Clients:
    """Return a function from a ledger's store to a client; a store that does not answer is tried once.

    Args:
        runs_dir: the runs folder.
        known: store to its client, or to the error of connecting; results are added to it.
    """
    found = {} if known is None else known

    def client(uri: str | None) -> MlflowClient:
        if uri not in found:
            try:
                address = recall(uri, runs_dir)
                probe(address)
                found[uri] = connect(address)
            except StoreError as error:
                found[uri] = error
        one = found[uri]
        if isinstance(one, StoreError):
            raise one
        return one

    return client


def tell_mlflow(runs_dir: Path, intent: Intent, client: Clients) -> list[str]:
    """Apply an intent to MLflow's runs, and end it; return a note for each store that could not be updated.

    The caller holds the lock of the trash. Runs whose store does not answer stay in the intent, which the next command
    that reaches the store continues. Runs that have been moved again since are left out.
    """
    telling = _Telling(runs_dir, intent, client)
    by_store: dict[str | None, list[Member]] = {}
    for member in intent.members:
        if intent.action != "purge" and member.in_mlflow and is_carried_out(runs_dir, intent, member):
            by_store.setdefault(member.tracking_uri, []).append(member)
    for uri, members in by_store.items():
        if uri is not None and not intent.signed:  # an intent from elsewhere must not change a server
            telling.waiting.update(members)
        else:
            telling.tell(uri, members)
    end(intent, [member for member in intent.members if member in telling.waiting])
    return list(telling.problems)


@dataclass
class _Telling:
    runs_dir: Path
    intent: Intent
    client: Clients
    waiting: set[Member] = field(default_factory=set)
    problems: dict[str, None] = field(default_factory=dict)

    def tell(self, uri: str | None, members: Sequence[Member]) -> None:
        """Apply the intent to the runs of one store."""
        with self._noticing(members):
            address = recall(uri, self.runs_dir)
            prepare(address)
            file = sqlite_file(address)
            size = _BATCH if file else 1
            for batch in (members[start : start + size] for start in range(0, len(members), size)):
                with self._noticing(batch), store_errors(address):
                    if file:
                        self._in_file(file, batch)
                    else:
                        self._on_server(uri, batch[0])

    @contextmanager
    def _noticing(self, members: Sequence[Member]) -> Iterator[None]:
        """Note the error if a store could not be updated."""
        try:
            yield
        except StoreError as error:
            problem = error.problems[0]
            if problem.message != NO_RUN:
                self.waiting.update(members)
                self.problems[": ".join(filter(None, [problem.where, problem.message]))] = None
            elif self.intent.brings_back:
                which = ", ".join(member.run_id[:8] for member in members)
                self.problems[f"{which}: {NO_RUN}; its folder is complete"] = None

    def _in_file(self, file: Path, members: Sequence[Member]) -> None:
        """Apply the intent in one transaction, without runs that cannot be recorded."""
        ledgers = {member: _ledger(self.runs_dir, self.intent, member) for member in members}
        with noting(file, self.runs_dir) as (connection, add):
            for member, ledger in ledgers.items():
                connection.execute("SAVEPOINT run")
                with self._noticing([member]), store_errors(str(file)):
                    try:
                        _follow_in_file(connection, add, self.runs_dir, self.intent, member, ledger)
                    except BaseException:
                        connection.execute("ROLLBACK TO run")
                        raise
                connection.execute("RELEASE run")
        for member, ledger in ledgers.items():
            if ledger is not None and member not in self.waiting:
                self._complete(member, ledger)

    def _on_server(self, uri: str | None, member: Member) -> None:
        ledger = _ledger(self.runs_dir, self.intent, member)
        _follow_on_server(self.client(uri), self.runs_dir, self.intent, member, ledger)
        if ledger is not None:
            self._complete(member, ledger)

    def _complete(self, member: Member, ledger: Ledger) -> None:
        """Send the missing data of a restored run to its store."""
        if self.intent.brings_back and not ledger.unfinished and not is_in_mlflow(ledger):
            with self._noticing([member]):
                Projection(ledger, partial(self.client, member.tracking_uri)).push_all()


def _follow_in_file(
    connection: sqlite3.Connection,
    add: Callable[[Ledger], None],
    runs_dir: Path,
    intent: Intent,
    member: Member,
    ledger: Ledger | None,
) -> None:
    found = find_row(connection, member.run_id)
    if found is None:
        if intent.brings_back and ledger is not None:  # the file was replaced, or `mlflow gc` was called
            enter(connection, ledger)
            add(ledger)
        return
    if _is_copy(runs_dir, member, ledger, found.artifact_uri):
        return
    if intent.action == "arrive" and ledger is not None:  # MLflow may have only a part of it
        enter(connection, ledger)
        add(ledger)
    wanted = "deleted" if intent.action == "delete" else "active"
    if found.stage != wanted:
        at = to_ms(intent.at) if intent.action == "delete" else None
        statement = "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_uuid = ?"
        connection.execute(statement, (wanted, at, member.run_id))
        set_stage(connection, member.run_id, wanted)


def _follow_on_server(
    client: MlflowClient, runs_dir: Path, intent: Intent, member: Member, ledger: Ledger | None
) -> None:
    info = client.get_run(member.run_id).info
    if _is_copy(runs_dir, member, ledger, info.artifact_uri or ""):
        return
    if intent.action == "delete":
        if info.lifecycle_stage != "deleted":
            client.delete_run(member.run_id)
        delete_logged_model(client, info.experiment_id, member.run_id)
    elif intent.brings_back:
        if info.lifecycle_stage == "deleted":
            client.restore_run(member.run_id)
        # MLflow does not restore logged models.
        if intent.action == "restore" and ledger and local_path(info.artifact_uri or "") != ledger.run_dir:
            log_model(client, ledger, member.run_id)


def _is_copy(runs_dir: Path, member: Member, ledger: Ledger | None, artifact_uri: str) -> bool:
    """Return whether MLflow's run belongs to another folder; without a ledger, only for a store that may be shared."""
    if ledger is not None:
        return original_of(ledger, artifact_uri) is not None
    recorded = local_path(artifact_uri)
    own = runs_dir / member.place / member.run_id / "artifacts"
    shared = member.tracking_uri is not None and recorded is not None and recorded != own
    return shared and recorded is not None and (recorded / LEDGER_FILE).is_file()


def _ledger(runs_dir: Path, intent: Intent, member: Member) -> Ledger | None:
    """Return the ledger at the run's current location; None if it cannot be read."""
    base = runs_dir if intent.brings_back else runs_dir / TRASH
    try:
        return Ledger.load(base / member.place / member.run_id / "artifacts")
    except CorruptRun:
        return None


def registered_models(client: MlflowClient, uri: str) -> dict[str, list[str]]:
    """Return the registered model versions of each run, by run ID: `fraud version 3 (champion)`.

    Raises:
        StoreError: The store does not answer, or has no registry.
    """
    found: dict[str, list[str]] = {}
    token = None
    with store_errors(uri):
        while True:
            page = client.search_model_versions(max_results=1000, page_token=token)
            for version in page:
                aliases = f" ({', '.join(version.aliases)})" if getattr(version, "aliases", None) else ""
                text = f"{version.name} version {version.version}{aliases}"
                for part in dict.fromkeys([version.run_id, *str(version.source).split("/")]):
                    if part:
                        found.setdefault(part, []).append(text)
            token = page.token
            if not token:
                return found

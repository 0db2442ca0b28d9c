"""MLflow's part in deleting and restoring runs: its runs follow the folders, which are authoritative."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
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
from dlcli.tracking.database import open_database
from dlcli.tracking.known_runs import note
from dlcli.tracking.ledger import LEDGER_FILE, Ledger, to_ms
from dlcli.tracking.places import local_path, original_of
from dlcli.tracking.projection import Projection
from dlcli.tracking.store_rows import enter, find_row
from dlcli.tracking.trash import TRASH, Intent, Member, end, is_carried_out

if TYPE_CHECKING:
    from mlflow import MlflowClient

Clients = Callable[[str | None], "MlflowClient"]


def clients_of(runs_dir: Path, known: dict[str | None, MlflowClient | StoreError] | None = None) -> Clients:
    """Return a function from a ledger's store to a client; a store that does not answer is asked once.

    Args:
        runs_dir: the runs folder.
        known: clients, or errors, by store, to which others are added.
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
    """Delete or restore MLflow's runs as an intent says, and end it; return a line for each store that does not follow.

    The caller holds the lock of the trash. Runs whose store does not answer stay in the intent, and the next command
    that reaches the store continues. Runs that have been moved otherwise since are left out.
    """
    waiting: list[Member] = []
    problems: dict[str, None] = {}
    for member in intent.members:
        if intent.action == "purge" or not member.in_mlflow or not is_carried_out(runs_dir, intent, member):
            continue
        if (
            member.tracking_uri is not None and not intent.signed
        ):  # from elsewhere: it must not reach a server
            waiting.append(member)
            continue
        try:
            _follow(runs_dir, intent, member, client)
        except StoreError as error:
            problem = error.problems[0]
            if problem.message != NO_RUN:
                waiting.append(member)
                problems[": ".join(filter(None, [problem.where, problem.message]))] = None
            elif intent.brings_back:
                problems[f"{member.run_id[:8]}: {NO_RUN}; its folder is complete"] = None
    end(intent, waiting)
    return list(problems)


def _follow(runs_dir: Path, intent: Intent, member: Member, client: Clients) -> None:
    uri = recall(member.tracking_uri, runs_dir)
    prepare(uri)
    ledger = _ledger(runs_dir, intent, member)
    with store_errors(uri):
        if file := sqlite_file(uri):
            with open_database(file) as connection:
                _follow_in_file(connection, runs_dir, intent, member, ledger)
        else:
            _follow_on_server(client(member.tracking_uri), runs_dir, intent, member, ledger)
    if intent.brings_back and ledger is not None and not ledger.unfinished:
        Projection(ledger, partial(client, member.tracking_uri)).push_all()


def _follow_in_file(
    connection: sqlite3.Connection, runs_dir: Path, intent: Intent, member: Member, ledger: Ledger | None
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    found = find_row(connection, member.run_id)
    if found is None:
        if intent.brings_back and ledger is not None:  # the file was replaced, or `mlflow gc` was called
            enter(connection, ledger)
            note(connection, [ledger])
        return
    if _is_copy(runs_dir, member, ledger, found.artifact_uri):
        return
    if intent.action == "arrive" and ledger is not None:  # MLflow may have had only a part of it
        enter(connection, ledger)
    wanted = "deleted" if intent.action == "delete" else "active"
    if found.stage != wanted:
        at = to_ms(intent.at) if intent.action == "delete" else None
        statement = "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_uuid = ?"
        connection.execute(statement, (wanted, at, member.run_id))


def _follow_on_server(
    client: MlflowClient, runs_dir: Path, intent: Intent, member: Member, ledger: Ledger | None
) -> None:
    info = client.get_run(member.run_id).info
    if _is_copy(runs_dir, member, ledger, info.artifact_uri or ""):
        return
    if intent.action == "delete" and info.lifecycle_stage != "deleted":
        client.delete_run(member.run_id)
    elif intent.brings_back and info.lifecycle_stage == "deleted":
        client.restore_run(member.run_id)


def _is_copy(runs_dir: Path, member: Member, ledger: Ledger | None, artifact_uri: str) -> bool:
    """Return whether MLflow's run is that of another folder; without a ledger, if the store may be a shared one."""
    if ledger is not None:
        return original_of(ledger, artifact_uri) is not None
    recorded = local_path(artifact_uri)
    own = runs_dir / member.place / member.run_id / "artifacts"
    shared = member.tracking_uri is not None and recorded is not None and recorded != own
    return shared and recorded is not None and (recorded / LEDGER_FILE).is_file()


def _ledger(runs_dir: Path, intent: Intent, member: Member) -> Ledger | None:
    """Return the run's ledger where it lies now; None if it cannot be read, as that of a damaged run."""
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

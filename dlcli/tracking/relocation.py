"""Update MLflow's absolute artifact addresses after a runs folder was moved or copied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from dlcli.files.paths import is_folder
from dlcli.tracking.connection import default_store, for_mlflow, sqlite_file, store_errors
from dlcli.tracking.database import open_database
from dlcli.tracking.logged_model import MODEL_ADDRESSES, moved_model
from dlcli.tracking.places import folder_name, local_path, run_folder

_STATEMENTS = ("UPDATE runs SET artifact_uri = :uri WHERE run_uuid = :id", *MODEL_ADDRESSES)

_PATIENCE = 60  # seconds to wait for another process that writes to a SQLite file


def relocate(runs_dir: Path) -> str:
    """Update the artifact addresses in a runs folder's store, and return a note, or an empty text if none has changed.

    Only runs that exist in this runs folder are updated, in one transaction. The caller must hold the store's lock.
    Raises StoreError.
    """
    file = sqlite_file(default_store(runs_dir))
    assert file is not None
    with open_database(file) as connection:
        moved = dict(_moved(connection, runs_dir))
        if not moved:
            return ""
        rows = [_addresses(run_id, folder) for run_id, (folder, _) in moved.items()]
        for statement in _STATEMENTS:
            connection.executemany(statement, rows)
    former = sorted({str(before.parents[2]) for _, before in moved.values()})
    return (
        f"The runs folder was {' and '.join(former)} and is now {runs_dir}: the artifact addresses in MLflow were "
        f"updated ({len(moved):,} {'run' if len(moved) == 1 else 'runs'})."
    )


def move_artifacts(uri: str, folders: Mapping[str, Path]) -> None:
    """Set the artifact addresses of runs (ID to folder) in a database. Raises StoreError."""
    import sqlalchemy

    rows = [_addresses(run_id, folder) for run_id, folder in folders.items()]
    with store_errors(uri):
        options = {"timeout": _PATIENCE} if sqlite_file(uri) else {}
        engine = sqlalchemy.create_engine(for_mlflow(uri), connect_args=options)
        try:
            with engine.begin() as connection:
                for statement in _STATEMENTS:
                    connection.execute(sqlalchemy.text(statement), rows)
        finally:
            engine.dispose()


def _addresses(run_id: str, folder: Path) -> dict[str, str]:
    return {"uri": folder.as_uri(), **moved_model(run_id, folder)}


def _moved(connection: sqlite3.Connection, runs_dir: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Yield the ID of each run in the runs folder whose recorded folder differs, with current and recorded folder."""
    experiments = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
    elsewhere = (
        "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = :id "
        "AND coalesce(artifact_uri, '') <> :here || '/' || run_uuid || '/artifacts'"
    )
    for experiment_id, name, location in experiments.fetchall():
        folder = runs_dir / folder_name(name)
        if not is_folder(folder):
            continue
        if local_path(location or "") not in (None, folder):
            statement = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
            connection.execute(statement, (folder.as_uri(), experiment_id))
        found = connection.execute(elsewhere, {"id": experiment_id, "here": folder.as_uri()})
        for run_id, uri in found.fetchall():
            current, recorded = run_folder(runs_dir, name, run_id), local_path(uri or "")
            if recorded not in (None, current) and is_folder(current):
                yield run_id, (current, recorded)

"""Update of MLflow's absolute artifact addresses after a runs folder was moved or copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.files.paths import is_folder
from dlcli.tracking.connection import default_store, for_mlflow, sqlite_file, store_errors
from dlcli.tracking.places import folder_name, local_path, run_folder

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PATIENCE = 60  # seconds to wait for another process that writes to a SQLite file


def relocate(runs_dir: Path) -> str:
    """Update the artifact addresses in a runs folder's store, and return a sentence on that, or an empty text.

    Only runs that exist in this runs folder are updated, in one transaction. The caller must hold the store's lock.
    Raises StoreError.
    """
    uri = default_store(runs_dir)
    with _transaction(uri) as connection:
        moved = dict(_moved(connection, runs_dir))
        if not moved:
            return ""
        _write(connection, {run_id: folder for run_id, (folder, _) in moved.items()})
    former = sorted({str(before.parents[2]) for _, before in moved.values()})
    return (
        f"The runs folder was {' and '.join(former)} and is now {runs_dir}: the artifact addresses in MLflow were "
        f"updated ({len(moved):,} {'run' if len(moved) == 1 else 'runs'})."
    )


def move_artifacts(uri: str, folders: Mapping[str, Path]) -> None:
    """Set the artifact addresses of runs (ID to folder) in a database. Raises StoreError."""
    with _transaction(uri) as connection:
        _write(connection, folders)


def _moved(connection: Connection, runs_dir: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Yield runs in the runs folder whose recorded address differs: ID, with current and recorded folder."""
    from sqlalchemy import text

    experiments = connection.execute(text("SELECT experiment_id, name, artifact_location FROM experiments"))
    elsewhere = text(
        "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = :id "
        "AND coalesce(artifact_uri, '') <> :here || '/' || run_uuid || '/artifacts'"
    )
    for experiment_id, name, location in experiments.all():
        folder = runs_dir / folder_name(name)
        if not is_folder(folder):
            continue
        if local_path(location or "") not in (None, folder):
            connection.execute(
                text("UPDATE experiments SET artifact_location = :here WHERE experiment_id = :id"),
                {"here": folder.as_uri(), "id": experiment_id},
            )
        found = connection.execute(elsewhere, {"id": experiment_id, "here": folder.as_uri()})
        for run_id, uri in found.all():
            current, recorded = run_folder(runs_dir, name, run_id), local_path(uri or "")
            if recorded not in (None, current) and is_folder(current):
                yield run_id, (current, recorded)


def _write(connection: Connection, folders: Mapping[str, Path]) -> None:
    from sqlalchemy import text

    statement = text("UPDATE runs SET artifact_uri = :uri WHERE run_uuid = :id")
    connection.execute(
        statement, [{"uri": folder.as_uri(), "id": run_id} for run_id, folder in folders.items()]
    )


@contextmanager
def _transaction(uri: str) -> Iterator[Connection]:
    import sqlalchemy

    with store_errors(uri):
        options = {"timeout": _PATIENCE} if sqlite_file(uri) else {}
        engine = sqlalchemy.create_engine(for_mlflow(uri), connect_args=options)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

"""MLflow's absolute addresses of artifacts, made to follow a runs folder that was moved or copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.tracking.connection import default_store, for_mlflow, sqlite_file, store_errors
from dlcli.tracking.places import folder_name, local_path, run_folder

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PATIENCE = 60  # seconds to wait for another process that writes to a SQLite file


def relocate(runs_dir: Path) -> str:
    """Make the store in a runs folder name the runs' folders where they lie now; what was done, or nothing.

    Only what lies in this runs folder is renamed, in one transaction. Call it under the lock of the store. Raises
    StoreError.
    """
    uri = default_store(runs_dir)
    with _transaction(uri) as connection:
        moved = dict(_moved(connection, runs_dir))
        if not moved:
            return ""
        _write(connection, {run_id: folder for run_id, (folder, _) in moved.items()})
    former = sorted({str(there.parents[2]) for _, there in moved.values()})
    return (
        f"The runs folder was {' and '.join(former)} and is {runs_dir} now: the addresses of artifacts in MLflow have "
        f"been changed ({len(moved):,} {'run' if len(moved) == 1 else 'runs'})."
    )


def move_artifacts(uri: str, folders: Mapping[str, Path]) -> None:
    """Set the artifact folders of runs (ID to folder) in a database. Raises StoreError."""
    with _transaction(uri) as connection:
        _write(connection, folders)


def _moved(connection: Connection, runs_dir: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Runs that lie in the runs folder and are said to lie elsewhere: ID to where it lies, and lay."""
    from sqlalchemy import text

    experiments = connection.execute(text("SELECT experiment_id, name, artifact_location FROM experiments"))
    elsewhere = text(
        "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = :id "
        "AND coalesce(artifact_uri, '') <> :here || '/' || run_uuid || '/artifacts'"
    )
    for experiment_id, name, location in experiments.all():
        folder = runs_dir / folder_name(name)
        if not folder.is_dir():
            continue
        if local_path(location or "") not in (None, folder):
            connection.execute(
                text("UPDATE experiments SET artifact_location = :here WHERE experiment_id = :id"),
                {"here": folder.as_uri(), "id": experiment_id},
            )
        found = connection.execute(elsewhere, {"id": experiment_id, "here": folder.as_uri()})
        for run_id, uri in found.all():
            here, there = run_folder(runs_dir, name, run_id), local_path(uri or "")
            if there not in (None, here) and here.is_dir():
                yield run_id, (here, there)


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

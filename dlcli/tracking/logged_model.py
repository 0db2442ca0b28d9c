"""The saved model of a run as a logged model in a SQLite store, for MLflow's pages and its registry.

Each run without a parent has at most one logged model, whose ID follows from the run's ID.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from uuid import uuid4

from dlcli.tracking.ledger import Ledger, to_ms

MODEL_FOLDER = "model"

_READY = 2  # value of mlflow.entities.LoggedModelStatus
_NOT_IN_NAMES = re.compile(r"[/:.%\"']")  # characters that names of logged models cannot contain

# SQL that updates the addresses of a run's logged model and registered versions after a move; see `moved_model`.
MODEL_ADDRESSES = (
    "UPDATE logged_models SET artifact_location = :model WHERE model_id = :model_id",
    "UPDATE model_versions SET storage_location = :model WHERE run_id = :id AND storage_location LIKE :former",
)


def model_id(run_id: str) -> str:
    """Return the ID of a run's logged model."""
    return f"m-{run_id}"


def moved_model(run_id: str, folder: Path) -> dict[str, str]:
    """Return the parameters of `MODEL_ADDRESSES`; databases other than SQLite concatenate texts in other ways."""
    return {
        "id": run_id,
        "model_id": model_id(run_id),
        "model": f"{folder.as_uri()}/{MODEL_FOLDER}",
        "former": f"%/{run_id}/artifacts/{MODEL_FOLDER}",
    }


def has_model(ledger: Ledger) -> bool:
    """Return whether MLflow lists the model of a run: the run has finished, has no parent, and has saved a model."""
    is_done = ledger.status == "FINISHED" and ledger.parent_id is None
    return is_done and (ledger.run_dir / MODEL_FOLDER / "MLmodel").is_file()


def name_of_model(ledger: Ledger) -> str:
    """Return the name of a run's logged model."""
    return _NOT_IN_NAMES.sub("-", ledger.run_name)


def enter_model(connection: sqlite3.Connection, ledger: Ledger) -> None:
    """Insert or update the logged model of a run with its test metrics, if the run has finished and has no parent."""
    if not has_model(ledger):
        return
    folder = ledger.run_dir / MODEL_FOLDER
    question = "SELECT experiment_id FROM runs WHERE run_uuid = ?"
    experiment_id = connection.execute(question, (ledger.run_id,)).fetchone()[0]
    made, ended = to_ms(ledger.created_at), to_ms(ledger.ended_at or ledger.created_at)
    model = model_id(ledger.run_id)
    connection.execute(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,"
        " last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'active', '', ?) ON CONFLICT (model_id) DO UPDATE"
        " SET name = excluded.name, last_updated_timestamp_ms = excluded.last_updated_timestamp_ms",
        (
            model,
            experiment_id,
            name_of_model(ledger),
            folder.as_uri(),
            made,
            ended,
            _READY,
            ledger.run_id,
        ),
    )
    connection.execute(
        "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " VALUES (?, 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?)",
        (uuid4().hex, ledger.run_id, model),
    )
    # The metrics of a resumed run have other times and steps.
    connection.execute("DELETE FROM logged_model_metrics WHERE model_id = ?", (model,))
    connection.execute(
        "INSERT OR REPLACE INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step,"
        " metric_value, experiment_id, run_id)"
        " SELECT ?, key, timestamp, step, value, ?, run_uuid FROM latest_metrics"
        " WHERE run_uuid = ? AND key LIKE 'test/%' AND NOT is_nan",
        (model, experiment_id, ledger.run_id),
    )


def set_stage(connection: sqlite3.Connection, run_id: str, stage: str) -> None:
    """Set the logged model of a run to `active` or `deleted`."""
    connection.execute(
        "UPDATE logged_models SET lifecycle_stage = ? WHERE model_id = ?", (stage, model_id(run_id))
    )

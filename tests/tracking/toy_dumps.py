"""The runs in a SQLite store for comparing two stores, without the IDs of other rows."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_QUESTIONS = {
    "experiments": "SELECT name, artifact_location, lifecycle_stage, workspace FROM experiments "
    "WHERE experiment_id != 0",
    "experiment tags": "SELECT name, key, value FROM experiment_tags JOIN experiments USING (experiment_id)",
    "runs": "SELECT run_uuid, runs.name, source_type, source_name, entry_point_name, user_id, status, start_time, "
    "end_time, deleted_time, source_version, runs.lifecycle_stage, artifact_uri, experiments.name "
    "FROM runs JOIN experiments USING (experiment_id)",
    "params": "SELECT run_uuid, key, value FROM params",
    "tags": "SELECT run_uuid, key, value FROM tags",
    "metrics": "SELECT run_uuid, key, value, timestamp, step, is_nan FROM metrics",
    "latest metrics": "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics",
    "datasets": "SELECT experiments.name, datasets.name, digest, dataset_source_type, dataset_source, dataset_schema, "
    "dataset_profile FROM datasets JOIN experiments USING (experiment_id)",
    "inputs": "SELECT destination_id, source_type, destination_type, step, datasets.name, digest, input_tags.name, "
    "input_tags.value FROM inputs JOIN datasets ON source_id = dataset_uuid LEFT JOIN input_tags USING (input_uuid)",
}


def dump(runs_dir: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return rows by table, in a fixed order."""
    with closing(sqlite3.connect(runs_dir / "mlflow.db")) as connection:
        return {what: sorted(connection.execute(q).fetchall(), key=repr) for what, q in _QUESTIONS.items()}

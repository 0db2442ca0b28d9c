"""Write the rows of a run to a SQLite store, from its folder.

MLflow's client cannot choose a run's ID, takes fifty times as long, and takes a second to import. The rows are those
that it would write, except for the IDs of inputs and datasets.
"""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from dlcli.tracking.history import MetricsLine, read_history
from dlcli.tracking.ledger import Ledger, to_ms
from dlcli.tracking.logged_model import enter_model
from dlcli.tracking.mlflow_inputs import CONTEXT_TAG, Input, Shown, tag_value
from dlcli.tracking.mlflow_tags import ERROR_TAG, NAME_TAG, TRAINING_TAGS, USER_TAG

_METRICS = 20_000  # maximum number of metrics of one update
_PREFIXES = ("cv/", "test/", "best/", "val/", "train/")  # prefixes of metrics, in the order of MLflow's page


def enter(connection: sqlite3.Connection, ledger: Ledger, artifacts: Path | None = None) -> int:
    """Insert a run, or complete an existing one; idempotent. Return the offset of its history up to which it is there.

    Args:
        connection: the store.
        ledger: the run.
        artifacts: location of artifacts for a new experiment; by default, the experiment's folder.
    """
    experiment_id = _experiment(connection, ledger, artifacts or ledger.run_dir.parents[1])
    shown = Shown.read(ledger.run_dir)
    _insert(connection, "runs", [_run(ledger, experiment_id)], "IGNORE")
    set_status(connection, ledger)
    tags = {NAME_TAG: ledger.run_name, **{k: tag_value(v) for k, v in ledger.tags.items()}}
    _insert(connection, "tags", [_pair(ledger.run_id, k, v) for k, v in tags.items()], "REPLACE")
    _insert(connection, "params", [_pair(ledger.run_id, k, v) for k, v in shown.params.items()], "IGNORE")
    offset = _add_metrics(connection, ledger, 0)
    enter_model(connection, ledger)
    for data in {(data.name, data.digest): data for data in shown.inputs}.values():
        _enter_input(connection, data, experiment_id, ledger.run_id)
    return offset


def update(connection: sqlite3.Connection, ledger: Ledger) -> dict[str, Any]:
    """Add the data of a run since its last projection, and return the progress for the ledger.

    Unchanged data is not written, so that a tag that the user has changed in MLflow is kept. A long history is added in
    several calls, since other processes cannot write meanwhile.
    """
    done, run_id = ledger.projected, ledger.run_id
    if done.get("status") != ledger.status:
        set_status(connection, ledger)
    tags = {k: v for k, v in ledger.tags.items() if done.get("tags", {}).get(k) != v}
    if done.get("name", ledger.run_name) != ledger.run_name:
        connection.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (ledger.run_name, run_id))
        tags[NAME_TAG] = ledger.run_name
    _insert(connection, "tags", [_pair(run_id, k, tag_value(v)) for k, v in tags.items()], "REPLACE")
    offset = _add_metrics(connection, ledger, done.get("offset", 0), _METRICS)
    enter_model(connection, ledger)
    return {"status": ledger.status, "name": ledger.run_name, "tags": dict(ledger.tags), "offset": offset}


def set_status(connection: sqlite3.Connection, ledger: Ledger) -> None:
    """Set a run's status and the time of its end."""
    ended = to_ms(ledger.ended_at) if ledger.ended_at else None
    connection.execute(
        "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", (ledger.status, ended, ledger.run_id)
    )


def fail(connection: sqlite3.Connection, run_id: str, ended_at: str, reason: str) -> None:
    """If the store has the run, record that it could not be created."""
    statement = "UPDATE runs SET status = 'FAILED', end_time = ? WHERE run_uuid = ?"
    if connection.execute(statement, (to_ms(ended_at), run_id)).rowcount:
        _insert(connection, "tags", [_pair(run_id, ERROR_TAG, tag_value(reason))], "REPLACE")


class RunRow(NamedTuple):
    """A run in the store: `active` or `deleted`, and its artifact address."""

    stage: str
    artifact_uri: str


def find_row(connection: sqlite3.Connection, run_id: str) -> RunRow | None:
    """Return a run, or None if the store lacks it."""
    question = "SELECT lifecycle_stage, coalesce(artifact_uri, '') FROM runs WHERE run_uuid = ?"
    found = connection.execute(question, (run_id,)).fetchone()
    return None if found is None else RunRow(*found)


class ExperimentRow(NamedTuple):
    """An experiment in the store: its ID, and `active` or `deleted`."""

    experiment_id: int | str
    stage: str


def find_experiment(connection: sqlite3.Connection, name: str) -> ExperimentRow | None:
    """Return an experiment, or None if the store lacks it."""
    question = "SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?"
    found = connection.execute(question, (name,)).fetchone()
    return None if found is None else ExperimentRow(*found)


def _insert(
    connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]], conflict: str
) -> None:
    """Insert rows, given by column; `conflict` is SQLite's action for existing rows: IGNORE, REPLACE or ABORT."""
    if rows:
        columns = ", ".join(f'"{column}"' for column in rows[0])
        places = ", ".join(f":{column}" for column in rows[0])
        connection.executemany(f"INSERT OR {conflict} INTO {table} ({columns}) VALUES ({places})", rows)


def _experiment(connection: sqlite3.Connection, ledger: Ledger, artifacts: Path) -> int:
    if found := find_experiment(connection, ledger.experiment):
        return int(found.experiment_id)
    created = to_ms(ledger.created_at)
    row = {
        "name": ledger.experiment,
        "artifact_location": artifacts.as_uri(),
        "lifecycle_stage": "active",
        "creation_time": created,
        "last_update_time": created,
    }
    _insert(connection, "experiments", [row], "ABORT")
    made = find_experiment(connection, ledger.experiment)
    assert made is not None
    tags = [{"key": k, "value": v, "experiment_id": made.experiment_id} for k, v in TRAINING_TAGS.items()]
    _insert(connection, "experiment_tags", tags, "IGNORE")
    return int(made.experiment_id)


def _run(ledger: Ledger, experiment_id: int) -> dict[str, Any]:
    return {
        "run_uuid": ledger.run_id,
        "name": ledger.run_name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": ledger.tags.get(USER_TAG, "unknown"),
        "status": ledger.status,
        "start_time": to_ms(ledger.created_at),
        "source_version": "",
        "lifecycle_stage": "active",
        # Not the ledger's address: a folder from elsewhere could name a server, to which the run would be sent.
        "artifact_uri": ledger.run_dir.as_uri(),
        "experiment_id": experiment_id,
    }


def _pair(run_id: str, key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value, "run_uuid": run_id}


def _add_metrics(connection: sqlite3.Connection, ledger: Ledger, offset: int, most: float = math.inf) -> int:
    """Insert about `most` metrics of the history from a byte offset on, and return the next offset."""
    metrics: list[dict[str, Any]] = []
    for line in read_history(ledger.run_dir, offset):
        metrics += _metrics(line, ledger.run_id)
        offset = line.end
        if len(metrics) >= most:
            break
    if metrics:
        _insert(connection, "metrics", metrics, "IGNORE")
        question = (
            "SELECT key, value, timestamp, step, is_nan, run_uuid FROM latest_metrics WHERE run_uuid = ?"
        )
        columns = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
        known = [
            dict(zip(columns, row, strict=True)) for row in connection.execute(question, (ledger.run_id,))
        ]
        _insert(connection, "latest_metrics", _latest([*known, *metrics]), "REPLACE")
    return offset


def _metrics(line: MetricsLine, run_id: str) -> Iterable[dict[str, Any]]:
    """Yield the rows of a step's metrics. As in MLflow, NaN is a separate column, infinity the largest float."""
    largest = sys.float_info.max
    for key, value in line.metrics.items():
        yield {
            "key": key,
            "value": 0.0 if math.isnan(value) else min(max(value, -largest), largest),
            "timestamp": line.time_ms,
            "step": line.step,
            "is_nan": math.isnan(value),
            "run_uuid": run_id,
        }


def _latest(metrics: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the latest row of each metric: by step, then time, then value."""
    latest: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        other = latest.get(metric["key"])
        if other is None or _order(metric) > _order(other):
            latest[metric["key"]] = metric
    return sorted(latest.values(), key=_place)


def _place(metric: dict[str, Any]) -> int:
    """Return the sort key of a metric, since MLflow's page of a run lists metrics in the order of insertion."""
    return next((i for i, prefix in enumerate(_PREFIXES) if metric["key"].startswith(prefix)), len(_PREFIXES))


def _order(metric: dict[str, Any]) -> tuple[int, int, float]:
    return metric["step"], metric["timestamp"], metric["value"]


def _enter_input(connection: sqlite3.Connection, data: Input, experiment_id: int, run_id: str) -> None:
    """Insert a dataset input; runs of an experiment share one dataset per name and digest."""
    question = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
    found = connection.execute(question, (experiment_id, data.name, data.digest)).fetchone()
    dataset_id = found[0] if found else uuid4().hex
    dataset = {
        "dataset_uuid": dataset_id,
        "experiment_id": experiment_id,
        "name": data.name,
        "digest": data.digest,
        "dataset_source_type": data.source_type,
        "dataset_source": data.source,
        "dataset_schema": data.schema,
        "dataset_profile": data.profile,
    }
    _insert(connection, "datasets", [dataset], "IGNORE")
    ends = {
        "source_type": "DATASET",
        "source_id": dataset_id,
        "destination_type": "RUN",
        "destination_id": run_id,
    }
    question = f"SELECT 1 FROM inputs WHERE {' AND '.join(f'{column} = :{column}' for column in ends)}"
    if connection.execute(question, ends).fetchone() is None:
        edge = uuid4().hex
        _insert(connection, "inputs", [{"input_uuid": edge, **ends}], "IGNORE")
        tag = {"input_uuid": edge, "name": CONTEXT_TAG, "value": data.context}
        _insert(connection, "input_tags", [tag], "IGNORE")

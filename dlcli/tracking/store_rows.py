"""Insertion of a run's rows into a SQLite store from its folder, since MLflow's client cannot choose a run's ID.

The rows are the same as those that the client writes when it records the run, except for the IDs of inputs and
datasets.
"""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from dlcli.tracking.history import read_history
from dlcli.tracking.ledger import Ledger, to_ms
from dlcli.tracking.mlflow_inputs import CONTEXT_TAG, Input, Shown, tag_value
from dlcli.tracking.tags import NAME_TAG, TRAINING_TAGS, USER_TAG


def enter(connection: sqlite3.Connection, ledger: Ledger) -> None:
    """Insert a run, or complete an existing one; idempotent."""
    experiment_id = _experiment(connection, ledger)
    shown = Shown.read(ledger.run_dir)
    _insert(connection, "runs", [_run(ledger, experiment_id)], "IGNORE")
    connection.execute(
        "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?",
        (ledger.status, to_ms(ledger.ended_at) if ledger.ended_at else None, ledger.run_id),
    )
    tags = {NAME_TAG: ledger.run_name, **{k: tag_value(v) for k, v in ledger.tags.items()}}
    _insert(connection, "tags", [_pair(ledger.run_id, k, v) for k, v in tags.items()], "REPLACE")
    _insert(connection, "params", [_pair(ledger.run_id, k, v) for k, v in shown.params.items()], "IGNORE")
    metrics = list(_metrics(ledger))
    _insert(connection, "metrics", metrics, "IGNORE")
    _insert(connection, "latest_metrics", _latest(metrics), "REPLACE")
    for data in {(data.name, data.digest): data for data in reversed(shown.inputs)}.values():
        _enter_input(connection, data, experiment_id, ledger.run_id)


def _insert(
    connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]], conflict: str
) -> None:
    """Insert rows, given by column; `conflict` is SQLite's action for existing rows: IGNORE, REPLACE or ABORT."""
    if rows:
        columns = ", ".join(f'"{column}"' for column in rows[0])
        places = ", ".join(f":{column}" for column in rows[0])
        connection.executemany(f"INSERT OR {conflict} INTO {table} ({columns}) VALUES ({places})", rows)


def _experiment(connection: sqlite3.Connection, ledger: Ledger) -> int:
    question = "SELECT experiment_id FROM experiments WHERE name = ?"
    if found := connection.execute(question, (ledger.experiment,)).fetchone():
        return int(found[0])
    created = to_ms(ledger.created_at)
    row = {
        "name": ledger.experiment,
        "artifact_location": ledger.run_dir.parents[1].as_uri(),
        "lifecycle_stage": "active",
        "creation_time": created,
        "last_update_time": created,
    }
    _insert(connection, "experiments", [row], "ABORT")
    (experiment_id,) = connection.execute(question, (ledger.experiment,)).fetchone()
    tags = [{"key": k, "value": v, "experiment_id": experiment_id} for k, v in TRAINING_TAGS.items()]
    _insert(connection, "experiment_tags", tags, "IGNORE")
    return int(experiment_id)


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
        # Never the ledger's own address: a folder from elsewhere could name a server to which the run is then sent.
        "artifact_uri": ledger.run_dir.as_uri(),
        "experiment_id": experiment_id,
    }


def _pair(run_id: str, key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value, "run_uuid": run_id}


def _metrics(ledger: Ledger) -> Iterable[dict[str, Any]]:
    """Yield all metrics by step. As in MLflow, NaN is a separate column, and infinity is the largest finite number."""
    for line in read_history(ledger.run_dir):
        for key, value in line.metrics.items():
            largest = sys.float_info.max
            yield {
                "key": key,
                "value": 0.0 if math.isnan(value) else min(max(value, -largest), largest),
                "timestamp": line.time_ms,
                "step": line.step,
                "is_nan": math.isnan(value),
                "run_uuid": ledger.run_id,
            }


def _latest(metrics: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the latest value of each metric: by step, then by time, then by value."""
    latest: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        other = latest.get(metric["key"])
        if other is None or _order(metric) > _order(other):
            latest[metric["key"]] = metric
    return list(latest.values())


def _order(metric: dict[str, Any]) -> tuple[int, int, float]:
    return metric["step"], metric["timestamp"], metric["value"]


def _enter_input(connection: sqlite3.Connection, data: Input, experiment_id: int, run_id: str) -> None:
    """Insert a dataset input; an experiment has one dataset per name and digest, to which its runs refer."""
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

"""Projection of a run's record on disk to MLflow.

Pushing is idempotent. The ledger records the progress after each batch. After a kill, the last batch is sent again with
the same timestamps, and MLflow's tables keep one row for each (metric, time, step, value).

Rows are written directly to a SQLite store, in one transaction and without importing MLflow. Other stores are updated
through MLflow's client.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.errors import StoreError
from dlcli.tracking.connection import (
    connect,
    no_run,
    patient,
    prepare,
    recall,
    sqlite_file,
    store_errors,
)
from dlcli.tracking.database import open_database
from dlcli.tracking.history import MetricsLine, read_history
from dlcli.tracking.known_runs import noting
from dlcli.tracking.ledger import Ledger, to_ms
from dlcli.tracking.mlflow_tags import HEARTBEAT_TAG
from dlcli.tracking.places import local_path
from dlcli.tracking.refill import Watch
from dlcli.tracking.server_models import log_model
from dlcli.tracking.store_rows import RunRow, find_row, set_status, update

if TYPE_CHECKING:
    from mlflow import MlflowClient

DELETED = "the run was deleted in MLflow"

_METRICS_AT_A_TIME = 1000


class Projection:
    """Projects one run from its ledger to MLflow. All methods raise StoreError or DiskFull.

    Args:
        ledger: ledger of the run.
        connected: returns MLflow's client for the run's store; by default, it connects. For a SQLite store it is only
            needed for artifacts that are kept elsewhere.
    """

    def __init__(self, ledger: Ledger, connected: Callable[[], MlflowClient] | None = None) -> None:
        self._ledger = ledger
        self._connected = connected
        self._uri = recall(ledger.tracking_uri, ledger.runs_dir)
        self._file = sqlite_file(self._uri)
        prepare(self._uri)
        self._watch = Watch(self._uri, ledger.runs_dir)

    @cached_property
    def _client(self) -> MlflowClient:
        return self._connected() if self._connected is not None else connect(self._uri)

    def follow(self) -> None:
        """If the store's file was replaced, insert this run into the new file."""
        with store_errors(self._uri):
            self._watch.follow(self._ledger)

    def push(self) -> None:
        """Send the data of a running run that MLflow lacks."""
        self.follow()
        self._push()

    def _push(self) -> None:
        if self._file:
            self._update(self._file)
            return
        if self._ledger.unfinished:
            self._send_status()
        self._send_metrics()
        self._send_tags()
        self._send_name()

    def push_all(self) -> None:
        """Send the data of a finished run that MLflow lacks."""
        self.follow()
        if self._ledger.status in ("FAILED", "KILLED"):
            # The status comes first, since there may be disk space or time for a few bytes only.
            self._push_status()
        self._push()
        self._send_artifacts()
        self._push_status()
        if self.complete and self._file and self._ledger.artifact_uri is not None:
            with store_errors(self._uri), noting(self._file, self._ledger.runs_dir) as (_, add):
                add(self._ledger)
        self.follow()

    def push_tags(self) -> None:
        """Send new or changed tags; to a SQLite store, everything that is missing."""
        if self._file:
            self._update(self._file)
        else:
            self._send_tags()

    def find(self) -> RunRow:
        """Return the run in MLflow; raises StoreError if it does not exist."""
        with store_errors(self._uri):
            if self._file:
                with open_database(self._file) as connection:
                    found = find_row(connection, self._ledger.run_id)
                if found is None:
                    raise no_run(self._uri)
                return found
            info = self._client.get_run(self._ledger.run_id).info
            return RunRow(info.lifecycle_stage, info.artifact_uri or "")

    def _update(self, file: Path) -> None:
        """Write the missing data to a SQLite store; a long history in several transactions."""
        lacks = True
        while lacks:
            ledger = self._ledger.snapshot()
            with store_errors(self._uri), noting(file, ledger.runs_dir) as (connection, add):
                found = find_row(connection, ledger.run_id)
                if found is None:
                    raise no_run(self._uri)
                if found.stage != "active":
                    raise StoreError(DELETED, self._uri, "Its record in the run's folder is complete.")
                progress = update(connection, ledger)
                lacks = next(read_history(ledger.run_dir, progress["offset"]), None) is not None
                if not (lacks or ledger.unfinished) and ledger.artifact_uri is None:
                    add(ledger)  # the store is complete
            if any(ledger.projected.get(name) != value for name, value in progress.items()):
                self._note(**progress)

    def beat(self) -> None:
        """Send a heartbeat to a server, and reset the status to RUNNING in case another machine has changed it."""
        with store_errors(self._uri):
            self._client.set_tag(self._ledger.run_id, HEARTBEAT_TAG, str(int(time.time())))
            self._client.update_run(self._ledger.run_id, status="RUNNING")

    @property
    def complete(self) -> bool:
        """Whether the run has ended and MLflow has all of it."""
        return is_in_mlflow(self._ledger)

    def _send_metrics(self) -> None:
        """Send the metrics that MLflow lacks."""
        from dlcli.tracking.mlflow_entities import log_metrics

        for batch in _batches(read_history(self._ledger.run_dir, self._ledger.projected.get("offset", 0))):
            with store_errors(self._uri):
                log_metrics(self._client, self._ledger.run_id, batch)
            self._note(offset=batch[-1].end)

    def _send_tags(self) -> None:
        """Send new or changed tags."""
        from dlcli.tracking.mlflow_entities import log_tags

        tags, known = dict(self._ledger.tags), self._ledger.projected.get("tags", {})
        new = {name: text for name, text in tags.items() if known.get(name) != text}
        if new:
            with store_errors(self._uri):
                log_tags(self._client, self._ledger.run_id, new)
            self._note(tags=tags)

    def _send_name(self) -> None:
        """Send the name of a renamed run."""
        name = self._ledger.run_name
        if self._ledger.projected.get("name", name) != name:
            with store_errors(self._uri):
                self._client.update_run(self._ledger.run_id, name=name)
            self._note(name=name)

    def _push_status(self) -> None:
        """Send the status, with the time of the run's end."""
        if self._ledger.projected.get("status") == self._ledger.status:
            return
        if not self._file:
            self._send_status()
            return
        ledger = self._ledger.snapshot()
        with store_errors(self._uri), open_database(self._file) as connection:
            set_status(connection, ledger)
        self._note(status=ledger.status)

    def _send_status(self) -> None:
        """Send the status to a store other than a SQLite file."""
        status, ended_at = self._ledger.status, self._ledger.ended_at
        if self._ledger.projected.get("status") != status:
            with store_errors(self._uri):
                if ended_at is None:
                    self._client.update_run(self._ledger.run_id, status=status)
                else:
                    self._client.set_terminated(self._ledger.run_id, status, to_ms(ended_at))
            self._note(status=status)

    def _send_artifacts(self) -> None:
        """Upload the run's folder if the store keeps artifacts elsewhere."""
        ledger = self._ledger
        if ledger.artifact_uri is not None and ledger.projected.get("artifacts") != ledger.ended_at:
            with store_errors(self._uri), patient():
                kept = self._client.get_run(ledger.run_id).info.artifact_uri
                if local_path(kept or "") != ledger.run_dir:
                    self._client.log_artifacts(ledger.run_id, str(ledger.run_dir))
                    log_model(self._client, ledger, ledger.run_id)
            self._note(artifacts=ledger.ended_at)

    def _note(self, **progress: object) -> None:
        self._ledger.update(durable=False, projected={**self._ledger.projected, **progress})


def is_in_mlflow(ledger: Ledger) -> bool:
    """Return whether, according to its ledger, a run has ended and MLflow has all of it."""
    done = ledger.projected
    return (
        not ledger.unfinished
        and done.get("status") == ledger.status
        and done.get("tags") == ledger.tags
        and done.get("name", ledger.run_name) == ledger.run_name
        and (ledger.artifact_uri is None or done.get("artifacts") == ledger.ended_at)
        and next(read_history(ledger.run_dir, done.get("offset", 0)), None) is None
    )


def _batches(lines: Iterator[MetricsLine]) -> Iterator[list[MetricsLine]]:
    """Yield groups of whole lines, each for one call, so that the progress is an offset between lines."""
    while first := next(lines, None):
        batch, count = [first], len(first.metrics)
        for line in lines:
            if count + len(line.metrics) > _METRICS_AT_A_TIME:
                lines = itertools.chain([line], lines)
                break
            batch.append(line)
            count += len(line.metrics)
        yield batch

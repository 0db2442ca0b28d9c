"""Rows that are written directly equal those that MLflow's client writes for the same calls."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from toy_dumps import dump
from toy_runs import new_run

from dlcli.errors import StoreError
from dlcli.tracking.connection import sqlite_file
from dlcli.tracking.database import open_database
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger, to_ms
from dlcli.tracking.mlflow_inputs import DatasetRecord, tag_value
from dlcli.tracking.mlflow_tags import NAME_TAG
from dlcli.tracking.projection import Projection
from dlcli.tracking.store import Store, open_store
from dlcli.tracking.store_rows import update

EPOCHS = [
    {"train/loss": 0.5, "val/loss": math.nan, "x": math.inf},
    {"train/loss": 0.25, "val/loss": 0.75, "x": -math.inf},
    {"train/loss": 0.125, "val/loss": math.nan},
]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The store of a runs folder, which gets rows directly, and one with the client."""
    (tmp_path / "b").mkdir()
    with open_store(tmp_path / "a") as direct, open_store(tmp_path / "b") as by_client:
        by_client._file = None
        yield direct, by_client


def create(store: Store) -> Ledger:
    data = [
        DatasetRecord("digits", "abc-train", "sklearn", profile={"rows": 3}),
        DatasetRecord("digits", "abc-test", "sklearn", context="testing"),
    ]
    params = {"model": {"width": 3, "names": ["é", "'"]}, "password": "hunter2", "long": "x" * 9000}
    given: dict[str, Any] = {
        "run_name": "toy",
        "params": params,
        "datasets": data,
        "tags": {"mlflow.user": "me"},
    }
    return Ledger.load(new_run(store, **given))


def rows(store: Store) -> str:
    """The rows without IDs, times of creation and folders, which differ."""
    text = repr(dump(store.runs_dir)).replace(store.runs_dir.as_uri(), "RUNS")
    return re.sub(r"[0-9a-f]{32}|'[0-9a-f]{16}'|\b1[789][0-9]{11}\b", "?", text)


def test_a_new_run_has_the_rows_that_the_client_writes(stores: tuple[Store, Store]) -> None:
    direct, by_client = stores
    create(direct)
    create(by_client)
    assert rows(direct) == rows(by_client)


def test_a_resumed_run_has_the_rows_that_the_client_writes(stores: tuple[Store, Store]) -> None:
    from mlflow.entities import Metric, RunTag

    direct, by_client = stores
    ledger, other = create(direct), create(by_client)
    client, projection = by_client.client, Projection(ledger)
    with closing(HistoryWriter(ledger.run_dir)) as history:
        for step, metrics in enumerate(EPOCHS):
            history.append(step, metrics)
            ledger.update(status="RUNNING", tags={**ledger.tags, "epoch": str(step), "long": "b" * 6000})
            projection.push()
            with sqlite3.connect(direct.runs_dir / "mlflow.db") as connection:
                question = "SELECT DISTINCT timestamp FROM metrics WHERE run_uuid = ? AND step = ?"
                ((moment,),) = connection.execute(question, (ledger.run_id, step)).fetchall()
            client.log_batch(
                other.run_id,
                metrics=[Metric(name, value, moment, step) for name, value in metrics.items()],
                tags=[RunTag("epoch", str(step)), RunTag("long", tag_value("b" * 6000))],
            )
    ended = "2026-01-02T03:04:05.678+00:00"
    ledger.update(status="FINISHED", ended_at=ended, run_name="another")
    projection.push_all()
    assert projection.complete
    client.set_terminated(other.run_id, "FINISHED", to_ms(ended))
    client.update_run(other.run_id, name="another")
    assert rows(direct) == rows(by_client)
    assert direct.client.get_run(ledger.run_id).data.tags[NAME_TAG] == "another"


def test_changes_of_the_user_in_mlflow_are_kept(stores: tuple[Store, Store]) -> None:
    direct, _ = stores
    ledger = create(direct)
    direct.client.set_tag(ledger.run_id, "mlflow.user", "somebody else")
    direct.client.update_run(ledger.run_id, name="a name of one's own")
    ledger.update(status="RUNNING", tags={**ledger.tags, "new": "1"})
    Projection(ledger).push()
    run = direct.client.get_run(ledger.run_id)
    assert (run.info.run_name, run.data.tags["mlflow.user"]) == ("a name of one's own", "somebody else")
    assert (run.info.status, run.data.tags["new"]) == ("RUNNING", "1")


@pytest.mark.parametrize(
    ("how", "message"), [("deleted", "was deleted in MLflow"), ("gone", "no longer has")]
)
def test_a_run_that_the_user_has_deleted_is_not_updated(
    stores: tuple[Store, Store], how: str, message: str
) -> None:
    direct, _ = stores
    ledger = create(direct)
    direct.client.delete_run(ledger.run_id)
    file = sqlite_file(direct.uri)
    assert file is not None
    if how == "gone":
        with open_database(file) as connection:
            connection.execute("DELETE FROM runs WHERE run_uuid = ?", (ledger.run_id,))
    before = dump(direct.runs_dir)
    ledger.update(status="RUNNING", tags={**ledger.tags, "new": "1"})
    with pytest.raises(StoreError, match=message):
        Projection(ledger).push()
    assert dump(direct.runs_dir) == before


def test_a_long_history_is_sent_in_parts(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes can write in between."""
    direct, _ = stores
    ledger, updates = create(direct), []
    monkeypatch.setattr("dlcli.tracking.store_rows._METRICS", 5)
    monkeypatch.setattr(
        "dlcli.tracking.projection.update",
        lambda *given: updates.append(update(*given)) or updates[-1],  # type: ignore[func-returns-value]
    )
    with closing(HistoryWriter(ledger.run_dir)) as history:
        for step in range(10):
            history.append(step, {"a": 1.0, "b": float(step)})
    Projection(ledger).push()
    assert len(updates) == 4  # three epochs in each, since lines are not divided
    assert [m.value for m in direct.client.get_metric_history(ledger.run_id, "b")] == [*range(10)]
    assert direct.client.get_run(ledger.run_id).data.metrics == {"a": 1.0, "b": 9.0}

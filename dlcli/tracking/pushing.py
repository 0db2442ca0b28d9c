"""Send recorded runs to another store: `dlcli runs push`.

A server assigns IDs to its runs. The run's own ID is stored in a tag, by which it is found again: a run is not sent
twice, and an interrupted push is completed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlcli.tracking.connection import patient, sqlite_file, store_errors
from dlcli.tracking.database import open_database
from dlcli.tracking.history import read_history
from dlcli.tracking.known_runs import note
from dlcli.tracking.ledger import Ledger, to_ms
from dlcli.tracking.mlflow_inputs import Shown
from dlcli.tracking.mlflow_tags import PARENT_TAG
from dlcli.tracking.places import folder_name, local_path
from dlcli.tracking.server_models import log_model
from dlcli.tracking.store import Store
from dlcli.tracking.store_rows import enter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ID_TAG = "dlcli.run_id"  # the run's own ID, in a store that has given it another one
_PUSHED_TAG = "dlcli.pushed"  # end of the run; set when the store has all of it

Sent = Literal["sent", "completed", "there"]


def push_run(store: Store, ledger: Ledger, parent_id: str | None) -> tuple[str, Sent]:
    """Send a run that has ended.

    Args:
        store: the store to send to.
        ledger: the run.
        parent_id: the ID of its parent in that store.

    Returns:
        The run's ID in the store, and whether it was sent, completed, or there already.

    Raises:
        StoreError: The store refuses or does not answer; repeating the push continues.
    """
    with store_errors(store.uri):
        if file := sqlite_file(store.uri):
            return ledger.run_id, _enter(file, ledger)
        experiment_id = store.experiment_id(ledger.experiment)
        found = find_pushed(store.client, experiment_id, ledger)
        if found is not None and found.data.tags.get(_PUSHED_TAG) == str(ledger.ended_at):
            return found.info.run_id, "there"
        if found is not None and found.info.run_id == ledger.run_id:
            return ledger.run_id, "there"  # it was recorded there
        run_id = found.info.run_id if found else _create(store, experiment_id, ledger, parent_id)
        _send(store, ledger, run_id)
        return run_id, "completed" if found else "sent"


def _enter(file: Path, ledger: Ledger) -> Sent:
    with open_database(file) as connection:
        connection.execute("BEGIN IMMEDIATE")
        question = "SELECT end_time FROM runs WHERE run_uuid = ?"
        found = connection.execute(question, (ledger.run_id,)).fetchone()
        # Other users, who lack this runs folder, may record later runs of the experiment there.
        enter(connection, ledger, file.parent / folder_name(ledger.experiment))
        note(connection, [ledger])
    is_same = found is not None and found[0] == (to_ms(ledger.ended_at) if ledger.ended_at else None)
    return "there" if is_same else "completed" if found else "sent"


def find_pushed(client: MlflowClient, experiment_id: str, ledger: Ledger) -> Run | None:
    """Return a run in an experiment of another store, by its tag or its own ID."""
    for only in (f"tags.`{ID_TAG}` = '{ledger.run_id}'", f"attributes.run_id = '{ledger.run_id}'"):
        if found := client.search_runs([experiment_id], only, max_results=1):
            return found[0]
    return None


def _create(store: Store, experiment_id: str, ledger: Ledger, parent_id: str | None) -> str:
    tags = {ID_TAG: ledger.run_id} | ({PARENT_TAG: parent_id} if parent_id else {})
    created = store.client.create_run(
        experiment_id, start_time=to_ms(ledger.created_at), run_name=ledger.run_name, tags=tags
    )
    return str(created.info.run_id)


def _send(store: Store, ledger: Ledger, run_id: str) -> None:
    """Send all data of a run; sending it again has no effect."""
    from dlcli.tracking.mlflow_entities import log_inputs, log_metrics, log_params, log_tags

    client, shown = store.client, Shown.read(ledger.run_dir)
    log_params(client, run_id, shown)
    log_inputs(client, run_id, shown)
    log_metrics(client, run_id, read_history(ledger.run_dir))
    log_tags(client, run_id, {name: text for name, text in ledger.tags.items() if name != PARENT_TAG})
    artifacts = local_path(client.get_run(run_id).info.artifact_uri or "")
    if artifacts != ledger.run_dir:
        with patient():
            client.log_artifacts(run_id, str(ledger.run_dir))
            log_model(client, ledger, run_id)
    ended = to_ms(ledger.ended_at) if ledger.ended_at else None
    client.set_terminated(run_id, ledger.status, ended)
    client.set_tag(run_id, _PUSHED_TAG, str(ledger.ended_at))

"""The saved model of a run as a logged model on an MLflow server, which assigns its ID and copies its files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dlcli.tracking.connection import patient
from dlcli.tracking.history import read_history
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.logged_model import has_model, name_of_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

_log = logging.getLogger(__name__)

_METRICS = 1000  # of a request, MLflow's limit


def find_logged_model(client: MlflowClient, experiment_id: str, run_id: str) -> str | None:
    """Return the ID of a run's logged model; None if it has none."""
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'", max_results=1)
    return str(found[0].model_id) if found else None


def log_model(client: MlflowClient, ledger: Ledger, run_id: str) -> None:
    """Send the saved model of a run with its test metrics, if the run has finished and has no parent.

    Repeating it completes or replaces the logged model. A server before MLflow 3 has none, which is logged.

    Args:
        client: client of the server.
        ledger: the run.
        run_id: the run's ID on the server.
    """
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.exceptions import MlflowException

    if not has_model(ledger):
        return
    experiment_id = client.get_run(run_id).info.experiment_id
    try:
        model = find_logged_model(client, experiment_id, run_id)
    except MlflowException as error:
        if not _lacks_models(error):
            raise
        _log.warning(
            "The server has no logged models, which MLflow 3 introduced; the run is complete otherwise."
        )
        return
    if model is None:
        created = client.create_logged_model(experiment_id, name_of_model(ledger), run_id)
        model = str(created.model_id)
        client.log_outputs(run_id, [LoggedModelOutput(model, 0)])
    with patient():
        client.log_model_artifacts(model, str(ledger.run_dir / "model"))
    metrics = [
        Metric(name, value, line.time_ms, line.step, model_id=model)
        for line in read_history(ledger.run_dir)
        for name, value in line.metrics.items()
        if name.startswith("test/") and value == value
    ]
    for start in range(0, len(metrics), _METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS], synchronous=True)
    client.finalize_logged_model(model, "READY")


def delete_logged_model(client: MlflowClient, experiment_id: str, run_id: str) -> None:
    """Delete the logged model of a run, if there is one; its files remain until `mlflow gc`."""
    from mlflow.exceptions import MlflowException

    try:
        while model := find_logged_model(client, experiment_id, run_id):
            client.delete_logged_model(model)
    except MlflowException as error:
        if not _lacks_models(error):
            raise


def _lacks_models(error: MlflowException) -> bool:
    """Return whether a server does not know logged models, which MLflow 3 introduced."""
    unknown = error.error_code in ("ENDPOINT_NOT_FOUND", "INTERNAL_ERROR")
    return unknown or error.get_http_status_code() == 404

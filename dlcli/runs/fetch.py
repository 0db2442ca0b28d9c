"""Download of runs that are in the store but not on this machine."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.errors import RunNotFound
from dlcli.files.disk import write_errors
from dlcli.files.unfinished import unfinished
from dlcli.formatting import shell_line
from dlcli.tracking.connection import (
    connect,
    is_server,
    patient,
    probe,
    sqlite_file,
    store_errors,
    tracking_uri,
)
from dlcli.tracking.ledger import LEDGER_FILE
from dlcli.tracking.places import is_run_id, local_path, run_folder
from dlcli.tracking.pushing import ID_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_SHORTEST_PREFIX = 4


def fetch_run(ref: str, runs_dir: Path) -> Path | None:
    """Download a run by its ID, the unique beginning of its ID, or its name (the newest run of that name).

    Returns:
        The run's folder; None if the store does not have the run, or has no ledger of it.

    Raises:
        StoreError: The store does not respond or denies access.
        RunNotFound: Several IDs begin like this, or the run is in another runs folder of this machine: recorded paths
            are not followed.
    """
    uri = tracking_uri(runs_dir)
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        return None
    probe(uri)
    client = connect(uri)
    with store_errors(uri):
        run = _look_up(client, ref)
        if run is None:
            return None
        experiment = client.get_experiment(run.info.experiment_id).name
        # A pushed run has another ID in the store, and its own ID in a tag.
        own = run.data.tags.get(ID_TAG, "")
        folder = run_folder(runs_dir, experiment, own if is_run_id(own) else run.info.run_id)
        if (folder / LEDGER_FILE).is_file():
            return folder
        artifacts = local_path(run.info.artifact_uri)
        if artifacts is None or is_server(uri):
            _download(client, run.info.run_id, folder)
        elif artifacts != folder and (artifacts / LEDGER_FILE).is_file():
            hint = f"Give its path: {shell_line(str(artifacts))}"
            raise RunNotFound(f"{ref} is in another runs folder", str(artifacts), hint)
    return folder if (folder / LEDGER_FILE).is_file() else None


def _look_up(client: MlflowClient, ref: str) -> Run | None:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    if not experiments:
        return None
    if re.fullmatch(r"\w+", ref) and len(ref) >= _SHORTEST_PREFIX:
        matches = list(client.search_runs(experiments, f"attributes.run_id LIKE '{ref}%'"))
        if len(matches) > 1:
            raise RunNotFound(
                f"{len(matches)} run IDs in the store begin with {ref}", "RUN", "Give more of the ID."
            )
        if not matches:
            matches = list(client.search_runs(experiments, f"tags.`{ID_TAG}` = '{ref}'", max_results=1))
        if matches:
            return matches[0]
    if "'" in ref:
        return None
    named = client.search_runs(experiments, f"attributes.run_name = '{ref}'", max_results=1)
    return named[0] if named else None


def _download(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Download a run's artifacts into its folder; an interrupted download leaves no partial folder there."""
    with ExitStack() as stack:
        with write_errors(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            arriving = stack.enter_context(unfinished(folder, folder=True))
        with patient():
            client.download_artifacts(run_id, "", str(arriving))
        with write_errors(folder.parent):
            arriving.rename(folder)

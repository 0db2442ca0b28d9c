"""A run that the store has and this machine has not: its artifacts brought here."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.errors import RunNotFound
from dlcli.files.disk import write_errors
from dlcli.files.unfinished import unfinished
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
from dlcli.tracking.places import local_path, run_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_SHORTEST_PREFIX = 4


def fetch_run(ref: str, runs_dir: Path) -> Path | None:
    """The folder of the run with this ID (or unique beginning) or name, of which the newest counts.

    None where the store does not know it, or has no ledger of it. Raises StoreError, and RunNotFound where several
    begin so, or it lies in another runs folder of this machine: a path that was recorded is not followed.
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
        folder = run_folder(runs_dir, experiment, run.info.run_id)
        there = local_path(run.info.artifact_uri)
        if there is None or is_server(uri):
            _download(client, run.info.run_id, folder)
        elif there != folder and (there / LEDGER_FILE).is_file():
            hint = f"Name it by that: {shlex.quote(str(there))}"
            raise RunNotFound(f"{ref} lies in another runs folder", str(there), hint)
    return folder if (folder / LEDGER_FILE).is_file() else None


def _look_up(client: MlflowClient, ref: str) -> Run | None:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    if not experiments:
        return None
    if re.fullmatch(r"\w+", ref) and len(ref) >= _SHORTEST_PREFIX:
        matches = list(client.search_runs(experiments, f"attributes.run_id LIKE '{ref}%'"))
        if len(matches) > 1:
            raise RunNotFound(
                f"{len(matches)} runs in the store begin with {ref}", "RUN", "Give more of the ID."
            )
        if matches:
            return matches[0]
    if "'" in ref:
        return None
    named = client.search_runs(experiments, f"attributes.run_name = '{ref}'", max_results=1)
    return named[0] if named else None


def _download(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Bring a run's artifacts to their place; a download that breaks off leaves no half run there."""
    with ExitStack() as stack:
        with write_errors(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            arriving = stack.enter_context(unfinished(folder, folder=True))
        with patient():
            client.download_artifacts(run_id, "", str(arriving))
        with write_errors(folder.parent):
            arriving.rename(folder)

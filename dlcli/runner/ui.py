"""`dlcli ui`: serve MLflow's user interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from dlcli.runner import runs_directory
from dlcli.runs.inventory import list_runs
from dlcli.tracking.connection import store_errors
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import Store, open_store
from dlcli.tracking.ui_process import Start, serve_ui

_COLUMNS = 4  # number of metrics in the table of an experiment
_LOSSES = ("test/loss", "val/loss")

# Without this, MLflow's page opens in its mode for language models.
_MODE = {"workflowType": "machine_learning"}


def ui(port: int, runs_dir: Path | None, tell: Callable[[str], None], *, browser: bool = False) -> None:
    """Serve the MLflow UI of the store until it is stopped; `tell` receives messages."""
    with open_store(runs_directory(runs_dir)) as store:
        for note in [*store.notes, *reconcile(store.runs_dir, store)]:
            tell(note)
        uri, start = store.uri, _start(store)
    serve_ui(uri, port, tell, start, browser=browser)


def _start(store: Store) -> Start:
    """Return the page of the newest experiment, and the main metrics of each experiment as columns of its table."""
    runs = list_runs(store.runs_dir, datetime.now(UTC))
    with store_errors(store.uri):
        ids = {one.name: one.experiment_id for one in store.client.search_experiments()}
    figures: dict[str, Counter[str]] = {}
    for run in runs:
        if run.figure is not None and run.experiment in ids:
            of_experiment = figures.setdefault(ids[run.experiment], Counter())
            of_experiment.update([run.figure.name, *(name for name in _LOSSES if name in run.metrics)])
    columns = {
        experiment_id: [
            "attributes.`Duration`",
            *(f"metrics.`{name}`" for name, _ in counts.most_common(_COLUMNS)),
        ]
        for experiment_id, counts in figures.items()
    }
    newest = next((ids[run.experiment] for run in runs if run.experiment in ids), None)
    page = f"#/experiments/{newest}/runs" if newest else "#/experiments"
    curves = {ids[run.experiment] for run in runs if run.kind == "run" and run.experiment in ids}
    return Start(f"{page}?{urlencode(_MODE)}", columns, sorted(curves))

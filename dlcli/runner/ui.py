"""`dlcli ui`: MLflow's pages on the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dlcli.runner import runs_directory
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.server import serve_ui
from dlcli.tracking.store import open_store


def ui(port: int, runs_dir: Path | None, tell: Callable[[str], None]) -> None:
    """Serve the MLflow UI of the store until it is stopped; `tell` receives messages."""
    with open_store(runs_directory(runs_dir)) as store:
        for note in [*store.notes, *reconcile(store.runs_dir, store)]:
            tell(note)
        uri = store.uri
    serve_ui(uri, port, tell)

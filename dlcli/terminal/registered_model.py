"""Show a version of a registered model."""

from __future__ import annotations

import os
import shlex

from dlcli.config.next_command import ui_command
from dlcli.runs.registration import RegisteredModel
from dlcli.terminal.console import Terminal
from dlcli.tracking.connection import URI_VARIABLE


def tell_registered(terminal: Terminal, made: RegisteredModel, note: str) -> None:
    """Print the version and its addresses; or the JSON document."""
    ledger = made.ledger
    for text in made.notes:
        terminal.warning(text)
    address = f"models:/{made.name}/{made.version}"
    if terminal.json:
        document = {
            "status": "OK",
            "run_id": ledger.run_id,
            "run_name": ledger.run_name,
            "name": made.name,
            "version": int(made.version),
            "aliases": list(made.aliases),
            "is_new": made.is_new,
            "alias_was_at": None if made.replaced is None else int(made.replaced),
            "uri": address,
            "tracking_uri": made.store_uri,
        }
        terminal.document(document)
        return
    if note:
        terminal.note(note)
    facts = {
        "version": made.version if made.is_new else f"{made.version}, registered before",
        "run": f"{ledger.run_name} ({ledger.run_id})",
        "alias": ", ".join(made.aliases),
        "alias was at": f"version {made.replaced}" if made.replaced else "",
        "address": ", ".join([address, *(f"models:/{made.name}@{alias}" for alias in made.aliases)]),
    }
    if not os.environ.get(URI_VARIABLE):
        facts["for MLflow"] = f"export MLFLOW_TRACKING_URI={shlex.quote(made.store_uri)}"
    terminal.panel(made.name, {key: value for key, value in facts.items() if value})
    terminal.sentence(f"Look at it on the page Models of: {ui_command(made.store_uri)}")

"""Show runs that were imported, pushed, renamed, tagged or registered."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlcli.config.next_command import next_command, ui_command
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.sanitize.presentable import presentable_name
from dlcli.terminal.console import Terminal
from dlcli.tracking.connection import URI_VARIABLE
from dlcli.tracking.mlflow_tags import NOTE_TAG

if TYPE_CHECKING:
    from dlcli.runs.annotation import AnnotatedRun
    from dlcli.runs.arrival import Arrived
    from dlcli.runs.handing_on import PushedRun
    from dlcli.runs.registration import RegisteredModel


def tell_arrived(terminal: Terminal, arrived: Arrived) -> None:
    """Print the imported runs; or the JSON document."""
    for note in arrived.notes:
        terminal.warning(note)
    if terminal.json:
        about = {
            name: [{"run_id": x.run_id, "run_name": x.run_name, "run_dir": str(x.run_dir)} for x in ledgers]
            for name, ledgers in (("runs", arrived.new), ("there", arrived.known))
        }
        terminal.document({"status": "OK", "runs_dir": str(arrived.runs_dir), **about})
        return
    for ledger in arrived.new:
        if ledger.parent_id is None:
            terminal.note(f"{presentable_name(ledger.run_name)}: {display(ledger.run_dir)}")
    if arrived.known:
        terminal.note(f"{counted(len(arrived.known), 'run')} with the same record: nothing to do.")
    if arrived.new:
        first = arrived.new[0]
        line = next_command("runs", "show", first.run_id[:8], runs_dir=arrived.runs_dir)
        terminal.note(f"{counted(len(arrived.new), 'run')} added. Look at one: {line}")


def tell_pushed(terminal: Terminal, pushed: Sequence[PushedRun], where: str) -> None:
    """Print the pushed runs; or the JSON document."""
    if terminal.json:
        runs = [
            {"run_id": x.ledger.run_id, "run_name": x.ledger.run_name, "id_there": x.run_id, "sent": x.sent}
            for x in pushed
        ]
        terminal.document({"status": "OK", "to": where, "runs": runs})
        return
    sent = [x for x in pushed if x.sent != "there"]
    there = len(pushed) - len(sent)
    beside = f"; {counted(there, 'run')} {'was' if there == 1 else 'were'} there already" if there else ""
    terminal.note(f"{counted(len(sent), 'run')} pushed to {where}{beside}")


def tell_annotated(terminal: Terminal, changed: AnnotatedRun, note: str) -> None:
    """Print the new name, tags or note of a run; or the JSON document."""
    ledger = changed.ledger
    tags = {key: value for key, value in ledger.tags.items() if not key.startswith(("dlcli.", "mlflow."))}
    written = ledger.tags.get(NOTE_TAG, "")
    for text in changed.notes:
        terminal.warning(text)
    if terminal.json:
        about = {"run_id": ledger.run_id, "run_name": ledger.run_name, "run_dir": str(ledger.run_dir)}
        terminal.document(
            {"status": "OK", **about, "tags": tags, "note": written, "in_mlflow": changed.in_mlflow}
        )
        return
    if note:
        terminal.note(note)
    facts = {
        "run": ledger.run_id,
        "tags": ", ".join(f"{k}={v}" for k, v in tags.items() if v),
        "note": written,
    }
    terminal.panel(ledger.run_name, {key: value for key, value in facts.items() if value})
    if not changed.in_mlflow:
        terminal.sentence(
            "MLflow is not updated yet: the next command that reaches the store sends the change."
        )


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

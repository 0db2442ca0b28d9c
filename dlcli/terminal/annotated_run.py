"""Show a run whose name, tags or note were changed."""

from __future__ import annotations

from dlcli.runs.annotation import AnnotatedRun
from dlcli.terminal.console import Terminal
from dlcli.tracking.mlflow_tags import NOTE_TAG


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

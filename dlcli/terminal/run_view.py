"""Show a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dlcli.files.paths import display
from dlcli.formatting import age_text, amount, counted, duration
from dlcli.runs.overview import Overview, pictures_in
from dlcli.terminal.console import Terminal
from dlcli.terminal.flowing import flowing
from dlcli.terminal.outcome import tell_figures
from dlcli.tracking.mlflow_tags import LIKE_TAG, NOTE_TAG, REPRODUCES_TAG

_MANY = 40  # maximum number of files that are listed one by one

_HOLDS = {
    "breakdown.csv": "metrics by class or target",
    "samples.txt": "texts that the model generates",
    "samples_by_epoch.jsonl": "texts that the model generated after epochs",
    "checkpoints/": "the state after the last epoch, from which the run is resumed",
    "code/": "files of your own model",
    "config.yaml": "the configuration",
    "environment.txt": "installed packages",
    "error.txt": "the traceback",
    "folds.csv": "a line for each fold",
    "ledger.json": "status and results",
    "metrics.jsonl": "metrics by step",
    "mlflow.json": "what MLflow has of the run",
    "model/": "weights and preprocessing",
    "model_summary.txt": "layers, shapes, multiply-adds",
    "outputs.npz": "the model's outputs on the held-out rows",
    "overrides.txt": "the command's overrides",
    "plots/": "pictures",
    "predictions.parquet": "predictions of rows that were not used for training",
    "seal.json": "digests by which changes of the run's files are noticed",
    "split.npz": "rows of each part of the split",
    "trials.csv": "a line for each trial",
    "winner.yaml": "the winner's configuration",
}


def tell_run(terminal: Terminal, run: Overview, now: datetime) -> None:
    """Print the overview of a run, with its results, files and the command that repeats it; or the JSON document."""
    if terminal.json:
        terminal.document(_as_json(run))
        return
    ledger = run.ledger
    terminal.panel(ledger.run_name, _facts(run, now))
    if ledger.error and "\n" in ledger.error:
        terminal.note(ledger.error)
    tell_figures(terminal, run.result)
    if run.columns is not None:
        terminal.panel("columns", {column.name: column.describe() for column in run.columns})
    rows = [
        {"file": name, "size": amount(size), "holds": _HOLDS.get(name, "")}
        for name, size in list(run.files.items())[:_MANY]
    ]
    for line in flowing(rows, terminal.console.width, right=("size",)):
        terminal.note(line)
    if len(run.files) > _MANY:
        terminal.note(f"... and {counted(len(run.files) - _MANY, 'more file')}: --json lists them.")
    for remark in run.remarks:
        terminal.sentence(remark)
    if run.pictures is not None:
        terminal.note(f"Pictures are in {display(run.pictures)}")
    if run.repeat is not None:
        terminal.note(f"Repeat it: {run.repeat}")


def _facts(run: Overview, now: datetime) -> dict[str, str]:
    ledger = run.ledger
    facts = {"run": ledger.run_id, "kind": f"{ledger.kind} of experiment {ledger.experiment}"}
    reason = (ledger.error or "").partition("\n")[0]
    facts["status"] = f"{run.status}: {reason}" if reason else run.status
    if run.created_at is not None:
        local = run.created_at.astimezone() if 1 < run.created_at.year < 9999 else run.created_at
        took = "" if run.duration is None else f", took {duration(run.duration)}"
        took += f" ({duration(earlier)} before it was resumed)" if (earlier := run.ledger.earlier_s) else ""
        age = age_text((now - run.created_at).total_seconds())
        facts["created"] = f"{local.isoformat(' ', 'minutes')}, {age} ago{took}"
    if note := ledger.tags.get(NOTE_TAG):
        facts["note"] = note
    own = {name: value for name, value in ledger.tags.items() if value}
    tags = {name: value for name, value in own.items() if not name.startswith(("dlcli.", "mlflow."))}
    if tags:
        facts["tags"] = ", ".join(f"{name}={value}" for name, value in tags.items())
    for name in ("version", "host", "preprocessing"):
        if value := ledger.tags.get(f"dlcli.{name}"):
            facts["dlcli" if name == "version" else name] = value
    for tag, words in ((REPRODUCES_TAG, "reproduces"), (LIKE_TAG, "like")):
        if value := ledger.tags.get(tag):
            facts[words] = value
    if run.registered:
        facts["registered"] = ", ".join(version.words() for version in run.registered)
    facts["folder"] = display(ledger.run_dir)
    return facts


def _as_json(run: Overview) -> dict[str, Any]:
    ledger, result = run.ledger, run.result.to_json()
    return {
        **result,
        "status": "OK",
        "run_status": run.status,
        "kind": ledger.kind,
        "parent_id": ledger.parent_id,
        "error": ledger.error,
        "created_at": run.created_at and run.created_at.isoformat(),
        "duration_s": run.duration,
        "earlier_s": run.ledger.earlier_s,
        "tags": ledger.tags,
        "messages": list(run.result.messages),
        "files": run.files,
        "pictures": [str(file) for file in pictures_in(run.pictures)] if run.pictures else [],
        "repeat": run.repeat,
        "remarks": list(run.remarks),
        "registered": [version._asdict() for version in run.registered],
        "columns": run.columns.to_json()["columns"] if run.columns is not None else None,
    }

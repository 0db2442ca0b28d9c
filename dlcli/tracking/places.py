"""Where a run's files lie, and what MLflow says of that.

A run's folder is RUNS_DIR/EXPERIMENT/RUN_ID/artifacts. Only MLflow has to know where RUNS_DIR is: an artifact's address
is absolute there.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlparse

from dlcli.files.disk import write_errors
from dlcli.tracking.ledger import LEDGER_FILE, Ledger


def folder_name(experiment: str) -> str:
    """An experiment's folder: its name where that is safe; else made safe, with a digest against mix-ups."""
    safe = re.sub(r"[^\w.+-]+", "_", experiment)[:80].strip("._") or "experiment"
    if safe == experiment and not safe.startswith("mlflow.db"):
        return safe
    return f"{safe}-{sha256(experiment.encode()).hexdigest()[:6]}"


def run_folder(runs_dir: Path, experiment: str, run_id: str) -> Path:
    """The folder of a run, whether it is there or not."""
    return runs_dir / folder_name(experiment) / run_id / "artifacts"


def make_folder(folder: Path, *, within: Path) -> None:
    """Make a folder below one that is there. Raises InputError: where that one was moved away, it is not made again."""
    with write_errors(folder):
        for part in reversed(folder.relative_to(within).parents[:-1]):
            (within / part).mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)


def find_folder(runs_dir: Path, run_id: str) -> Path | None:
    """The folder of a run in a runs folder; None where it has none there."""
    if not re.fullmatch(r"[\w-]+", run_id):
        return None
    return next((file.parent for file in runs_dir.glob(f"*/{run_id}/artifacts/{LEDGER_FILE}")), None)


def local_path(uri: str) -> Path | None:
    """The folder that an artifact URI means; None where it lies elsewhere."""
    if uri.startswith("file:"):
        return Path(os.fsdecode(unquote_to_bytes(urlparse(uri).path)))
    return Path(uri) if uri.startswith("/") else None


def original_of(ledger: Ledger, artifact_uri: str) -> Path | None:
    """Where the run of a ledger really lies, as the store that the user names has it; None where it lies here.

    Folders that record into one store of the user's must not both write to one run of it: the copy of a run is not the
    run as long as the original is there.
    """
    there = local_path(artifact_uri)
    shared = ledger.tracking_uri is not None and ledger.artifact_uri is None
    if not shared or there is None or there == ledger.run_dir or not (there / LEDGER_FILE).is_file():
        return None
    return there

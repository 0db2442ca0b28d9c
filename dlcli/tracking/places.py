"""Locations of runs' folders, on disk and in MLflow.

A run's folder is RUNS_DIR/EXPERIMENT/RUN_ID/artifacts. Only MLflow records where RUNS_DIR is, since its artifact
addresses are absolute.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlparse

from dlcli.files.disk import write_errors
from dlcli.files.paths import resolved
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

BY_NAME = "by-name"  # in a runs folder: links to the runs by their names
FEATURES_DIR = ".features"  # in a runs folder: cached outputs of frozen backbones


def folder_name(experiment: str) -> str:
    """Return the folder name of an experiment: its name or, if that is unsafe, a safe version with a digest."""
    safe = re.sub(r"[^\w.+-]+", "_", experiment)[:80].strip("._") or "experiment"
    if safe == experiment and not safe.startswith("mlflow.db") and safe != BY_NAME:
        return safe
    return f"{safe}-{sha256(experiment.encode()).hexdigest()[:6]}"


def run_folder(runs_dir: Path, experiment: str, run_id: str) -> Path:
    """Return the folder of a run, which need not exist."""
    return runs_dir / folder_name(experiment) / run_id / "artifacts"


def make_folder(folder: Path, *, within: Path) -> None:
    """Create a folder within an existing one; raises InputError if `within` does not exist (it may have been moved)."""
    with write_errors(folder):
        for part in reversed(folder.relative_to(within).parents[:-1]):
            (within / part).mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)


def is_run_id(text: str) -> bool:
    """Return whether a text can be a run's ID, which is the name of a folder."""
    return re.fullmatch(r"[\w-]+", text) is not None


def find_folder(runs_dir: Path, run_id: str) -> Path | None:
    """Find the folder of a run in a runs folder; None if there is none."""
    if not is_run_id(run_id):
        return None
    return next((file.parent for file in runs_dir.glob(f"*/{run_id}/artifacts/{LEDGER_FILE}")), None)


def link_out(folder: Path) -> Path | None:
    """Return the link on the path from the runs folder to a run's folder that leads out of the runs folder, or None."""
    runs_dir = folder.parents[2]
    for place in (folder.parents[1], folder.parent, folder):
        if place.is_symlink() and not resolved(place).is_relative_to(resolved(runs_dir)):
            return place
    return None


def local_path(uri: str) -> Path | None:
    """Return the local folder of an artifact URI; None if it is not on this machine."""
    if uri.startswith("file:"):
        return Path(os.fsdecode(unquote_to_bytes(urlparse(uri).path)))
    return Path(uri) if uri.startswith("/") else None


def original_of(ledger: Ledger, artifact_uri: str) -> Path | None:
    """Return the folder of the original run if, according to the store, a run's folder is a copy; otherwise None.

    If several runs folders share a store, a copy must not write to the original's run while the original exists.
    """
    recorded = local_path(artifact_uri)
    shared = ledger.tracking_uri is not None and ledger.artifact_uri is None
    if not shared or recorded is None or recorded == ledger.run_dir or not (recorded / LEDGER_FILE).is_file():
        return None
    return recorded

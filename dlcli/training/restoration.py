"""A run's checkpoints before its training goes on: with the best weights beside them, and not without their digests."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

from dlcli.config.next_command import resume_command
from dlcli.errors import CorruptRun
from dlcli.files.paths import display
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.manifest import MANIFEST_FILE, check_model
from dlcli.training.checkpoint_io import weights_metadata
from dlcli.training.epoch_state import LAST, best_name, find_progress

_WEIGHTS = Path("model", "weights.safetensors")


def place_of_checkpoints(run_dir: Path) -> dict[str, Any]:
    """Arguments of `fit`: where a run's checkpoints are, whose they are, and what to do where they are damaged."""
    ledger = Ledger.load(run_dir)
    return {"folder": _folder(ledger), "run_id": ledger.run_id, "start_over": _start_over(ledger)}


def _folder(ledger: Ledger) -> Path:
    return ledger.run_dir / "checkpoints"


def _start_over(ledger: Ledger) -> str:
    folder = shlex.quote(display(_folder(ledger)))
    return f"Take it from a backup, or start over, to the same result: rm -r {folder} && {resume_command(ledger)}"


def check_checkpoints(ledger: Ledger) -> None:
    """Whether a training can go on from what it has written; nothing is changed.

    Raises:
        CorruptRun: it cannot.
    """
    if (_folder(ledger) / LAST).exists():
        has_weights = _check_weights(ledger)
        find_progress(**place_of_checkpoints(ledger.run_dir), best=not has_weights)


def restore_checkpoints(ledger: Ledger) -> None:
    """Put the best weights of a finished run back beside its checkpoint, from where it may go on.

    Raises:
        CorruptRun: the weights are not what was recorded, or the digests of the checkpoints are gone.
    """
    folder = _folder(ledger)
    if not (folder / LAST).exists() or not _check_weights(ledger):
        return
    saved = ledger.run_dir / _WEIGHTS
    best = folder / best_name(int(weights_metadata(saved)["epoch"]))
    if not best.exists():
        partial = best.with_suffix(".partial")
        shutil.copyfile(saved, partial)
        partial.replace(best)


def _check_weights(ledger: Ledger) -> bool:
    """Whether a finished run's weights are there, as they were recorded."""
    folder, saved = _folder(ledger), ledger.run_dir / _WEIGHTS
    if ledger.digests is not None and not (folder / MANIFEST_FILE).is_file():
        raise CorruptRun("is missing", str(folder / MANIFEST_FILE), _start_over(ledger))
    if not saved.exists():
        return False
    check_recorded(ledger, MODEL_MANIFEST)
    check_model(saved.parent, saved.name)
    return True


def note_of_history(epochs: int, finished: int) -> str:
    """That a run's history lacks epochs which are behind it; empty where it has all of them."""
    if epochs >= finished:
        return ""
    return f"metrics.jsonl has {epochs} of {finished} epochs: the figures of the others are lost"

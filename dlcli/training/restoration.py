"""Prepare the checkpoints of a resumed run: verify their digests, and restore the best weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dlcli.config.next_command import resume_command
from dlcli.errors import CorruptRun
from dlcli.files.paths import display
from dlcli.formatting import shell_line
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.manifest import MANIFEST_FILE, check_model
from dlcli.training.checkpoint_io import weights_metadata
from dlcli.training.epoch_state import LAST, best_name, find_progress

_WEIGHTS = Path("model", "weights.safetensors")


def place_of_checkpoints(ledger: Ledger) -> dict[str, Any]:
    """Return arguments of `fit`: the folder of a run's checkpoints, its ID, and the hint for damaged ones."""
    folder = _folder(ledger)
    # Without the folder there is no checkpoint that could be damaged.
    return {
        "folder": folder,
        "run_id": ledger.run_id,
        "start_over": _start_over(ledger) if folder.exists() else "",
    }


def has_checkpoint(run_dir: Path) -> bool:
    """Return whether a run has a checkpoint from which it continues."""
    return (run_dir / "checkpoints" / LAST).is_file()


def _folder(ledger: Ledger) -> Path:
    return ledger.run_dir / "checkpoints"


def _start_over(ledger: Ledger) -> str:
    folder = shell_line(display(_folder(ledger)))
    return f"Restore it from a backup, or start over with the same result: rm -r {folder} && {resume_command(ledger)}"


def check_checkpoints(ledger: Ledger) -> None:
    """Raise an error if training cannot continue from a run's checkpoints, without changing anything.

    Raises:
        CorruptRun: they are damaged.
    """
    if (_folder(ledger) / LAST).exists():
        has_weights = _check_weights(ledger)
        find_progress(**place_of_checkpoints(ledger), best=not has_weights)


def restore_checkpoints(ledger: Ledger) -> None:
    """Copy the best weights of a finished run back to its checkpoints, so that it can be resumed.

    Raises:
        CorruptRun: the weights do not match their digest, or the digests of the checkpoints are missing.
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
    """Return whether a run has saved its best weights, after verifying their digest."""
    folder, saved = _folder(ledger), ledger.run_dir / _WEIGHTS
    if ledger.digests is not None and not (folder / MANIFEST_FILE).is_file():
        raise CorruptRun("is missing", str(folder / MANIFEST_FILE), _start_over(ledger))
    if not saved.exists():
        if ledger.status == "FINISHED":  # removed from the checkpoints at the end
            raise CorruptRun("is missing", str(saved), _start_over(ledger))
        return False
    check_recorded(ledger, MODEL_MANIFEST)
    check_model(saved.parent, saved.name)
    return True


def note_of_history(epochs: int, finished: int) -> str:
    """Return a note if a run's history lacks finished epochs, else an empty string."""
    if epochs >= finished:
        return ""
    return f"metrics.jsonl has {epochs} of {finished} epochs: the metrics of the others are lost"

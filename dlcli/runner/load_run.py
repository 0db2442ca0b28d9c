"""`dlcli.load_run`: load a run's saved model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlcli.inference.saved_model import SavedModel
from dlcli.runner import runs_directory
from dlcli.runs.folder import open_run


def load_run(
    run: str, *, conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None, trust: bool = False
) -> SavedModel:
    """Return a run's saved model."""
    return open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust).load_model()

"""`dlcli.load_run`: load a run's saved model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.coverage import with_coverage
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import Use, open_model
from dlcli.statistics.conformal_methods import ConformalMethod


def load_run(
    run: str,
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    use: Use | None = None,
    coverage: float | None = None,
    conformal: ConformalMethod | None = None,
) -> SavedModel:
    """Return a run's saved model, or the ensemble of several."""
    found = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, use=use)
    return with_coverage(found, coverage, conformal).model

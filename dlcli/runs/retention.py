"""Keep the weights of the best child runs of a run, such as the trials of a sweep."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dlcli.tracking.amend import amend
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.store import Store

WEIGHTS_TAG = "dlcli.weights"
DROPPED = "dropped"


def keep_best(
    store: Store,
    values: Mapping[Path, float],
    keep: int | Literal["all"] | None,
    mode: Literal["min", "max"],
) -> None:
    """Delete the weights of all finished runs but the best; metrics, split and predictions are kept.

    Args:
        store: the store of the runs; its `project` sends MLflow the tags.
        values: folder of each run to its monitored value; NaN counts as the worst.
        keep: number of runs that keep their weights; None means all.
        mode: whether small or large values are better. Ties are resolved in favour of the first.
    """
    worst = math.inf if mode == "min" else -math.inf

    def rank(folder: Path) -> float:
        value = worst if math.isnan(values[folder]) else values[folder]
        return value if mode == "min" else -value

    count = len(values) if keep in ("all", None) else int(keep)
    for place, folder in enumerate(sorted(values, key=rank)):
        if place >= count:
            drop_weights(store, folder)
        elif WEIGHTS_TAG in Ledger.load(folder).tags:  # dropped earlier, and trained again since
            amend(store, folder, {WEIGHTS_TAG: "kept"}, later=True)


def monitored_value(run_dir: Path, monitor: str) -> float:
    """Return a finished run's value of the monitored metric in its best epoch; NaN if it has none."""
    metrics = Ledger.load(run_dir).metrics
    return metrics.get(f"best/{monitor}", metrics.get(monitor, math.nan))


def drop_weights(store: Store, run_dir: Path) -> None:
    """Delete a run's weights and checkpoints, after recording that in its ledger; `Store.project` tells MLflow."""
    amend(store, run_dir, {WEIGHTS_TAG: DROPPED}, later=True)
    (run_dir / "model" / "weights.safetensors").unlink(missing_ok=True)
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


def has_weights(run_dir: Path) -> bool:
    """Return whether a run has weights or checkpoints that could be deleted."""
    return (run_dir / "model" / "weights.safetensors").exists() or (run_dir / "checkpoints").exists()

"""Whose weights stay, of many trainings that belong together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dlcli.tracking.ledger import Ledger

WEIGHTS_TAG = "dlcli.weights"
DROPPED = "dropped"


def keep_best(
    values: Mapping[Path, float], keep: int | Literal["all"] | None, mode: Literal["min", "max"]
) -> None:
    """Drop the weights of all finished trainings but the best: figures, split and predictions stay.

    Args:
        values: what each run's folder is judged by; NaN is the worst.
        keep: how many keep their weights; None means all.
        mode: whether small or large values are the best. Of equal ones the first counts.
    """
    worst = math.inf if mode == "min" else -math.inf

    def rank(folder: Path) -> float:
        value = worst if math.isnan(values[folder]) else values[folder]
        return value if mode == "min" else -value

    count = len(values) if keep in ("all", None) else int(keep)
    for place, folder in enumerate(sorted(values, key=rank)):
        if place >= count:
            drop_weights(folder)
        elif WEIGHTS_TAG in (ledger := Ledger.load(folder)).tags:  # dropped once, and trained anew since
            ledger.add_tags({WEIGHTS_TAG: "kept"})


def watched(run_dir: Path, monitor: str) -> float:
    """A finished run's value of the metric that it was judged by, in its best epoch; NaN where it has none."""
    metrics = Ledger.load(run_dir).metrics
    return metrics.get(f"best/{monitor}", metrics.get(monitor, math.nan))


def drop_weights(run_dir: Path) -> None:
    """Delete a run's weights and checkpoints, and say so in its ledger first."""
    Ledger.load(run_dir).add_tags({WEIGHTS_TAG: DROPPED})
    (run_dir / "model" / "weights.safetensors").unlink(missing_ok=True)
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


def has_weights(run_dir: Path) -> bool:
    """Whether there is anything left to drop."""
    return (run_dir / "model" / "weights.safetensors").exists() or (run_dir / "checkpoints").exists()

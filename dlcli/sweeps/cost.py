"""What a sweep would take: points, time, disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError
from dlcli.experiment import free_space
from dlcli.formatting import amount, duration
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.space import values_by_key

# What a slim run leaves beside its weights, however few its rows: configuration, figures, its part of the store.
_RECORD_BYTES = 60_000
# And for a row: where it stands in the split; where it validates, its number, target, prediction and each output.
_SPLIT_BYTES, _VALUE_BYTES = 2, 8
# Seconds of a training beyond its steps (preprocessing, judging, the record), and until all libraries are loaded.
_BEYOND_STEPS, _START = 0.2, 4.0


@dataclass(frozen=True)
class Forecast:
    """About what a sweep takes, measured on its first point: other points may take more or less.

    Attributes:
        description: what is searched, for a panel.
        space: what each key can be.
        points: of the space; None where they cannot be counted.
        trials: how many are tried.
        seconds: for all of them at most, side by side as asked for; early stopping and pruners take from it.
        disk: bytes at the end.
    """

    description: dict[str, str]
    space: dict[str, str]
    points: int | None
    trials: int
    seconds: float
    disk: int

    def rows(self) -> dict[str, str]:
        """For a panel."""
        return {
            **self.description,
            "time": f"about {duration(self.seconds)} at most, by the first point",
            "disk": f"about {amount(self.disk)}",
        }

    def to_json(self) -> dict[str, Any]:
        """As the `--json` contract has it."""
        return {
            "space": self.space,
            "points": self.points,
            "trials": self.trials,
            "seconds": self.seconds,
            "disk": self.disk,
        }


def foresee(plan: SweepPlan) -> Forecast:
    """Train some batches of the first point, and multiply."""
    from dlcli.sweeps.summary import describe

    found = plan.experiment.rehearse()
    epochs = max(1, plan.config["trainer"].get("max_epochs") or 1)
    training = found.seconds_per_epoch * epochs + _BEYOND_STEPS
    one_after_the_other = -(-plan.total // plan.slots) * len(plan.estimation.folds) + plan.options.refit
    return Forecast(
        describe(plan),
        values_by_key(plan.space),
        plan.space.points,
        plan.total,
        training * one_after_the_other + _START,
        disk(plan, found.disk),
    )


def check_room(plan: SweepPlan, weights: int) -> int:
    """Bytes that the sweep will leave, given those that a training's checkpoints take.

    Raises:
        ConfigError: so much is not free.
    """
    needed, free = disk(plan, weights), free_space(Path(plan.config["runs_dir"]))
    if needed > free:
        raise ConfigError(
            f"the sweep leaves about {amount(needed)}, {amount(free)} are free",
            "runs_dir",
            "Make room, keep fewer weights (tracking.keep=1), or record on another disk: --runs-dir DIR.",
        )
    return needed


def disk(plan: SweepPlan, weights: int) -> int:
    """Bytes that the sweep leaves, given those that a training's checkpoints take."""
    splits, data = plan.estimation.splits, plan.estimation.data
    folds = len(plan.estimation.folds)
    kept = min(plan.total, plan.kept) * folds + 1  # and the refitted winner
    values = 3 + max(len(data.classes), math.prod(data.y.shape[1:]))
    rows = _SPLIT_BYTES * len(data) + _VALUE_BYTES * values * max(len(split.val) for split in splits)
    records = folds * (_RECORD_BYTES + rows) + (folds > 1) * _RECORD_BYTES
    return plan.total * records + kept * weights

"""Estimates of the points, time and disk space of a sweep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError
from dlcli.files.disk import free_space
from dlcli.formatting import amount, counted, duration
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.space import values_by_key
from dlcli.sweeps.sweep_summary import describe_sweep
from dlcli.training.rehearsal import Rehearsal

# Bytes of a trial's or fold's run apart from weights and rows: configuration, metrics, rows in the store.
_RECORD_BYTES = 60_000
# Bytes per row of the split, and per value of a validation row (number, target, prediction and outputs).
_SPLIT_BYTES, _VALUE_BYTES = 2, 8
# Seconds of a training run apart from its steps (preprocessing, evaluation, record), and for importing all libraries.
_BEYOND_STEPS, _START = 0.2, 4.0


@dataclass(frozen=True)
class CostEstimate:
    """Estimated cost of a sweep, measured on its first point; other points may take more or less.

    Attributes:
        description: description of the search, for a panel.
        space: key to its values as text.
        points: number of points of the space; None if it is infinite.
        trials: number of trials.
        seconds: duration of the trials that start in time, with the configured parallelism, without early stopping and
            pruning.
        disk: disk usage at the end, in bytes, if that many trials start.
        startable: number of trials that start within the time limit; all without one.
    """

    description: dict[str, str]
    space: dict[str, str]
    points: int | None
    trials: int
    seconds: float
    disk: int
    startable: int

    def rows(self) -> dict[str, str]:
        """Return the lines of a panel: label to text."""
        within = (
            "" if self.startable == self.trials else f" for {counted(self.startable, 'trial')} in this time"
        )
        return {
            **self.description,
            "time": f"about {duration(self.seconds)} at most, by the first point",
            "disk": f"about {amount(self.disk)}{within}",
        }

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `--json` document."""
        return {
            "space": self.space,
            "points": self.points,
            "trials": self.trials,
            "startable": self.startable,
            "seconds": self.seconds,
            "disk": self.disk,
        }


def estimate_cost(plan: SweepPlan) -> CostEstimate:
    """Estimate time and disk space by training a few batches of the first point."""
    found = plan.experiment.rehearse()
    trial = _seconds_of_trial(plan, found)
    trials = _startable(plan, trial)
    searching = trial * -(-trials // plan.slots)
    refit = trial / len(plan.estimation.folds) if plan.options.refit else 0.0
    return CostEstimate(
        describe_sweep(plan),
        values_by_key(plan.space),
        plan.space.points,
        plan.total,
        searching + refit + _START,
        disk(plan, found.disk, trials),
        trials,
    )


def _seconds_of_trial(plan: SweepPlan, found: Rehearsal) -> float:
    """Return the duration of a trial with all of its folds, at most its own time limit."""
    epochs = max(1, plan.config["trainer"].get("max_epochs") or 1)
    seconds = (found.seconds_per_epoch * epochs + _BEYOND_STEPS) * len(plan.estimation.folds)
    return min(seconds, plan.options.trial_seconds or math.inf)


def _startable(plan: SweepPlan, trial: float) -> int:
    """Return the number of trials of this duration that start within the time limit of the sweep."""
    limit = plan.options.seconds
    rounds = math.inf if limit is None else math.ceil(limit / trial)
    return int(min(plan.total, rounds * plan.slots))


def check_room(plan: SweepPlan) -> int:
    """Check that the disk has room for a sweep, and return the bytes that the sweep will take at most.

    With a time limit, trials are timed where the disk has too little room for all of them.

    Args:
        plan: the sweep.

    Raises:
        ConfigError: the disk has less free space.
    """
    needed = disk(plan, plan.experiment.rehearse(quick=True).disk, plan.total)
    free = free_space(Path(plan.config["runs_dir"]))
    if needed > free and plan.options.seconds is not None:
        found = plan.experiment.rehearse()
        needed = disk(plan, found.disk, _startable(plan, _seconds_of_trial(plan, found)))
    if needed > free:
        raise ConfigError(
            f"the sweep leaves about {amount(needed)}, {amount(free)} are free",
            "runs_dir",
            "Free some space, keep fewer weights (tracking.keep=1), or record on another disk: --runs-dir DIR.",
        )
    return needed


def disk(plan: SweepPlan, weights: int, trials: int) -> int:
    """Return the bytes that a number of trials will take, given the bytes of the checkpoints of one run."""
    splits, data = plan.estimation.splits, plan.estimation.data
    folds = len(plan.estimation.folds)
    kept = min(trials, plan.kept) * folds + bool(plan.options.refit)
    values = 3 + max(len(data.classes), math.prod(data.y.shape[1:]))
    rows = _SPLIT_BYTES * len(data) + _VALUE_BYTES * values * max(len(split.val) for split in splits)
    records = folds * (_RECORD_BYTES + rows) + (folds > 1) * _RECORD_BYTES
    return trials * records + kept * weights

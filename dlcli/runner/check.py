"""`dlcli check`: validate an experiment and estimate what its training needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlcli.checks.profile import Profile, profile
from dlcli.checks.settings import find_config_warnings
from dlcli.config.pasted import dlcli_line, folder_options
from dlcli.cross_validation.chosen_settings import searches_in_folds
from dlcli.datasets.notices import warnings_of
from dlcli.errors import Problem
from dlcli.formatting import amount, counted
from dlcli.runner.model_by_rows import plan_for_rows
from dlcli.sweeps.cost import estimate_cost
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.search_in_folds import plan_nested
from dlcli.training.rehearsal import Rehearsal


def check(
    overrides: Sequence[str] = (), conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None
) -> tuple[Rehearsal, Profile]:
    """Find all mistakes, train a few batches without recording them, and profile the data."""
    experiment = plan_for_rows(overrides, conf_dirs, runs_dir, thorough=True)
    if searches_in_folds(experiment.config):
        plan_nested(experiment, overrides)
    search = None
    if experiment.composed.choices.get("effort"):
        search = plan_sweep(overrides, conf_dirs, runs_dir)  # finds mistakes in the search
    data = profile(experiment.data, experiment.splits)
    rehearsal = experiment.rehearse()
    doubts = (
        *(() if search is None else [_cost_of(search, overrides, conf_dirs, runs_dir)]),
        *experiment.composed.left_out,
        *find_config_warnings(experiment.config, experiment.splits),
    )
    lost = warnings_of(rehearsal.notices)
    rehearsal = replace(rehearsal, notices=(*experiment.data.notices, *rehearsal.notices))
    return rehearsal, replace(data, warnings=(*doubts, *data.warnings, *lost))


def _cost_of(
    search: SweepPlan,
    overrides: Sequence[str],
    conf_dirs: Sequence[Path],
    runs_dir: Path | None,
) -> Problem:
    """Return what a search takes, estimated by its first point."""
    cost = estimate_cost(search)
    command = dlcli_line("sweep", "--dry-run", *folder_options(conf_dirs, runs_dir), *overrides)
    folds = counted(len(search.estimation.folds), "fold")
    return Problem(
        f"dlcli train searches: {counted(cost.trials, 'trial')} at most on {folds}, {cost.rows()['time']}; "
        f"{amount(cost.disk)} on the disk. Memory, time and disk above are those of one run of the chosen model",
        "effort",
        f"Show the search and its cost: {command}",
    )

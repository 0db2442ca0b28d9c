"""A search that goes on: planned anew from the words that it was started with, and held against its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.cross_validation.children import families, what_is_trained
from dlcli.cross_validation.estimation import Estimation
from dlcli.errors import ConfigError, Problem
from dlcli.experiment import plan_experiment
from dlcli.formatting import counted
from dlcli.resumption import Resumption
from dlcli.runs.folder import OpenedRun
from dlcli.sweeps.plan import SweepPlan, plan_sweep
from dlcli.sweeps.records import recorded
from dlcli.sweeps.search_in_folds import NestedSearch, plan_nested
from dlcli.sweeps.watcher import SweepWatcher

# Of the section `sweep`: what may not differ. How many trials, for how long and the like may; the sampler is recorded.
_SAME = ("space", "objectives", "pruner")


def plan_again(resumption: Resumption, conf_dirs: Sequence[Path]) -> SweepPlan:
    """The plan of a sweep that was started before.

    Raises:
        ConfigError: the space, or what all trials share, is not what it was: configuration files have changed; or
            fewer trials are asked for than there are.
        DataError: the rows are not what they were.
    """
    opened = resumption.opened
    _refuse_fewer(resumption)
    plan = plan_sweep(
        resumption.words,
        conf_dirs,
        opened.ledger.runs_dir,
        sampler=opened.config["sweep"]["sampler"],
    )
    _check_same(plan.estimation, opened, "sweep", _SAME)
    return plan


def _refuse_fewer(resumption: Resumption) -> None:
    """What is done cannot be taken back: the record would say less than there is."""
    before, asked = (c["sweep"]["trials"] for c in (resumption.opened.config, resumption.config))
    if asked is None or asked == before:
        return
    there = len(recorded(families(resumption.opened.ledger).get(resumption.opened.ledger.run_id, {})))
    if asked < there:
        raise ConfigError(
            f"{asked} would be fewer than there are: it has {counted(there, 'trial')} already",
            "sweep.trials",
            f"It counts all trials, and more than {there} extend the sweep; without it the sweep goes on as it is.",
        )


def plan_nested_again(
    resumption: Resumption, conf_dirs: Sequence[Path], watcher: SweepWatcher | None = None
) -> NestedSearch:
    """The searches of a cross-validation that was started before.

    Raises:
        ConfigError: what folds share is not what it was: configuration files have changed.
        DataError: the rows are not what they were.
    """
    opened = resumption.opened
    experiment = plan_experiment(resumption.words, conf_dirs, opened.ledger.runs_dir)
    _check_same(experiment.estimation, opened, "cv", tuple(experiment.config["cv"]))
    search = plan_nested(experiment, resumption.words, watcher)
    assert search is not None  # the section is the same
    return search


def _check_same(estimation: Estimation, opened: OpenedRun, section: str, keys: Sequence[str]) -> None:
    if problems := list(_differences(estimation.config, opened.config, section, keys)):
        raise ConfigError(problems)
    opened.check_rows(estimation.data, estimation.fingerprint)


def _differences(
    new: Mapping[str, Any], old: Mapping[str, Any], section: str, keys: Sequence[str]
) -> Iterator[Problem]:
    hint = "Take the change back, or start another one: points of two spaces cannot be told apart later."
    for key in keys:
        if new[section][key] != old[section].get(key):
            was = old[section].get(key)
            yield Problem(f"is not what the run was started with: {was}", f"{section}.{key}", hint)
    was, now = what_is_trained(old), what_is_trained(new)
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            yield Problem(f"is not what the run was started with: {was.get(key)}", key, hint)

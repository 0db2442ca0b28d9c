"""A sweep that goes on: planned anew from the words that it was started with, and held against its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.cross_validation.children import what_is_trained
from dlcli.errors import ConfigError, DataError, Problem
from dlcli.run_folder import OpenedRun
from dlcli.sweeps.plan import SweepPlan, plan_sweep

# Of the section `sweep`: what may not differ. How many trials, for how long and the like may.
_SAME = ("space", "objectives", "sampler", "pruner")


def plan_again(opened: OpenedRun, conf_dirs: Sequence[Path]) -> SweepPlan:
    """The plan of a sweep that was started before.

    Raises:
        ConfigError: the space, or what all trials share, is not what it was: configuration files have changed.
        DataError: the rows are not what they were.
    """
    words = (opened.folder / "overrides.txt").read_text().splitlines()
    plan = plan_sweep(words, conf_dirs, Path(opened.ledger.runs_dir))
    if problems := list(_differences(plan.config, opened.config)):
        raise ConfigError(problems)
    for what, fingerprint in (
        ("data", plan.estimation.data.fingerprint),
        ("split", plan.estimation.fingerprint),
    ):
        if opened.ledger.tags.get(f"dlcli.{what}_fingerprint") != fingerprint:
            raise DataError(
                f"the {what} is not what the sweep was started with: its fingerprint differs",
                where=plan.estimation.data.source,
                hint="Restore the data as it was, or name its place: dataset.root=DIR.",
            )
    return plan


def _differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Problem]:
    hint = "Take the change back, or start another sweep: points of two spaces cannot be told apart later."
    for key in _SAME:
        if new["sweep"][key] != old["sweep"][key]:
            yield Problem(
                f"is not what the sweep was started with: {old['sweep'][key]}", f"sweep.{key}", hint
            )
    was, now = what_is_trained(old), what_is_trained(new)
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            yield Problem(f"is not what the sweep was started with: {was.get(key)}", key, hint)

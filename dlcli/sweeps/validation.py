"""Mistakes of a search that show before its first trial."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dlcli.errors import ConfigError, DlcliError, Problem
from dlcli.sweeps.dimension import Choice, Numbers, as_override
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.space import Space

if TYPE_CHECKING:
    from dlcli.sweeps.plan import SweepPlan

# What a sweep holds fixed: trials are compared on the same rows, by the same figure.
_FIXED = ("dataset", "cv", "monitor", "mode", "executor", "tracking", "sweep", "experiment")
_FIXED_KEYS = ("runs_dir", "run_name", "experiment_name")


def check_space(space: Space, objectives: Sequence[Objective], hint: str, where: str = "sweep.space") -> None:
    """Refuse keys that make trials incomparable, and an empty space, with a hint at how one is written.

    Raises:
        ConfigError: with all that was found.
    """
    if not space.dimensions:
        raise ConfigError("there is nothing to search", where, hint)
    problems = [
        Problem(
            "cannot be varied: trials are compared on the same rows, by the same figure",
            dimension.key,
            "Make it a sweep of its own.",
        )
        for dimension in space.dimensions
        if dimension.key in _FIXED_KEYS
        or (dimension.key != "dataset.batch_size" and dimension.key.replace("/", ".").split(".")[0] in _FIXED)
    ]
    if any(objective.metric == "val/loss" for objective in objectives):
        problems += [
            Problem(
                "changes what val/loss means: its values cannot be compared",
                dimension.key,
                "Choose by another metric, such as monitor=val/accuracy mode=max.",
            )
            for dimension in space.dimensions
            if dimension.key.replace("/", ".").split(".")[0] == "task"
        ]
    if problems:
        raise ConfigError(problems)


def check_options(plan: SweepPlan) -> None:
    """Refuse a time that is none, and a sampler or pruner that cannot do what is asked of it.

    Raises:
        ConfigError: one of them.
    """
    from dlcli.config.build import build

    plan.options.seconds, plan.options.trial_seconds  # noqa: B018 they raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is new in Optuna
        sampler = build(
            plan.sampler, where="sweep.sampler", space=plan.space, seed=0, sweep_seed=0, earlier=()
        )
    if len(plan.objectives) > 1 and type(sampler).__name__ == "CmaEsSampler":
        hint = "Choose another, such as sweep/sampler=tpe."
        raise ConfigError("CMA-ES cannot look for several objectives", "sweep.sampler", hint)
    target = plan.config["sweep"]["pruner"]["_target_"]
    if target.endswith(".wilcoxon") and len(plan.estimation.folds) < 2:
        hint = "Choose folds (cv=kfold), or another pruner (sweep/pruner=median)."
        raise ConfigError("compares folds, and a trial has one split", "sweep.pruner", hint)
    if len(plan.objectives) > 1 and not target.endswith(".none"):
        raise ConfigError(
            "cannot end trials early where there are several objectives",
            "sweep.pruner",
            "Choose sweep/pruner=none.",
        )


def check_points(plan: SweepPlan) -> None:
    """Each value of each dimension, composed and looked at as `train` would: a mistake is told before any trial.

    Raises:
        ConfigError: with all that was found.
    """
    from dlcli.assembly.starting_weights import check_weights
    from dlcli.checks.compatibility import find_mistakes

    estimation, problems = plan.estimation, []
    judging = [*estimation.splits, plan.whole]  # the final test rows too
    for dimension, params in plan.space.neighbours():
        named = partial(of_value, dimension.key, dimension.domain, params)
        try:
            config = plan.trial_config(params)
            problems += [
                named(problem)
                for problem in (
                    *find_mistakes(config, estimation.data, estimation.splits[0]),
                    *check_weights(config, estimation.data, judging),
                )
            ]
        except DlcliError as error:
            problems += [named(problem) for problem in error.problems]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


@contextmanager
def naming_values(domains: Mapping[str, Choice | Numbers], params: Mapping[str, Any]) -> Iterator[None]:
    """Tell a mistake in one of a point's values as that of the value."""
    try:
        yield
    except ConfigError as error:
        named = [
            of_value(problem.where, domains[problem.where], params, problem)
            if problem.where in domains
            else problem
            for problem in error.problems
        ]
        raise ConfigError(named) from error


def of_value(key: str, domain: Choice | Numbers, params: Mapping[str, Any], problem: Problem) -> Problem:
    """A mistake of one point, with the value that it is a mistake of."""
    override, hint = as_override(key, params[key]), problem.hint
    if problem.where == override:  # such as an option that there is not
        return problem
    if problem.where != key:
        return replace(problem, message=f"with {override}: {problem.message}")
    if isinstance(domain, Numbers) and domain.step is None and "integer" in problem.message:
        low, high = round(domain.low), round(domain.high)  # a range's end is not in it
        hint = f"For whole numbers write {key}=int(interval({low},{high})) or {key}=range({low},{high + 1})."
    return replace(problem, where=override, hint=hint)

"""Plan a sweep from the overrides of a command, and check it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.assembly.starting_weights import check_weights
from dlcli.checks.compatibility import find_mistakes
from dlcli.checks.refused_rows import find_refused_rows
from dlcli.checks.settings import warn
from dlcli.checks.task_fit import directions
from dlcli.config.build import build
from dlcli.config.compose import draft
from dlcli.config.folders import groups, user_folders
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.shared_loss import CHANGES_LOSS, shared_by_models
from dlcli.distributed.launcher import refuse_launched
from dlcli.errors import ConfigError, DlcliError
from dlcli.experiment import Experiment, plan_experiment
from dlcli.sweeps.auto_planning import AutoSpace, plan_auto_space
from dlcli.sweeps.objective import Objective, read_objectives, settled_objectives
from dlcli.sweeps.plan import GRID, SweepPlan
from dlcli.sweeps.space import Space
from dlcli.sweeps.space_parser import (
    as_overrides,
    combined_space,
    domains_of,
    find_unsound,
    left_out_of_options,
    searched_space,
    separate,
)
from dlcli.sweeps.sweep_options import AUTO, Sweep
from dlcli.sweeps.validation import check_losses, check_space, naming_values, of_value

_HOW = (
    "The model declares no ranges, and its optimizer takes no steps. Give several values to a key, as in KEY=1,2, or"
    " search other models too: model=linear,mlp sweep=auto."
)


def plan_sweep(
    overrides: Sequence[str],
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    *,
    earlier: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
) -> SweepPlan:
    """Read the search space; check the first point as an experiment, then each value of each dimension.

    Args:
        overrides: overrides of the command; those with several values are dimensions of the space.
        conf_dirs: the user's conf folders, as they were given.
        runs_dir: the folder of all runs; None uses the configuration's.
        earlier: the recorded configuration of a sweep that continues, whose sampler is kept.
        tell: receives warnings about settings and data, as for `train`.

    Raises:
        ConfigError: with all mistakes.
    """
    refuse_launched("a sweep")
    folders = user_folders(conf_dirs)
    fixed, varied = separate(overrides)
    domains = domains_of(varied, folders)
    known = groups(folders)
    first = {key: domain.values_in_order()[0] for key, domain in domains.items() if key in known}
    # The section `sweep` is checked first, because the experiment depends on it.
    found = draft([*fixed, *as_overrides(first)], folders, SUPPLIED, BY_DATA)
    if "sweep" in found.unsound:
        raise ConfigError(found.problems)
    section = found.composed.config["sweep"]
    if not section["space"] and not varied:
        # Sampler, pruner and limits of a user-defined section are kept.
        fixed.append("sweep=auto" if found.composed.choices["sweep"] == "default" else "sweep.space=auto")
        found = draft(fixed, folders, SUPPLIED, BY_DATA)
        section = found.composed.config["sweep"]
    own: AutoSpace | None = None
    if section["space"] == AUTO:
        own = plan_auto_space(found, fixed, domains, conf_dirs, runs_dir, earlier)
        fixed = own.fixed
        found = draft([*fixed, *as_overrides(first)], folders, SUPPLIED, BY_DATA)
        section = {**found.composed.config["sweep"], "space": own.section}
    decided = dict(own.told) if own else {}
    searched = {*varied, *section["space"]}
    shares = not own and searched & CHANGES_LOSS
    if shares and (shared := shared_by_models(found.composed, [*fixed, *varied], earlier)):
        fixed += shared
        decided["several series"] = f"{', '.join(shared)}, for all trials"
    space_section = combined_space(section["space"], varied, domains, fixed)
    space = searched_space(space_section, fixed, folders)
    objectives = read_objectives(found.composed.config)
    check_space(space, objectives, _HOW)
    if own:
        space = own.started(space)
    named = [(o.metric, o.mode) for o in objectives if section["objectives"] and not o.is_cost]
    if len(named) == 1:  # a single objective is also the metric for early stopping and checkpoints
        watched = {key: to for key, to in zip(("monitor", "mode"), named[0], strict=True) if to != AUTO}
        fixed = [text for text in fixed if text.partition("=")[0] not in watched]
        fixed += as_overrides(watched)
    asked = [*fixed, *as_overrides(space.first)]
    try:
        with naming_values(space.domains_at(space.first), space.first):
            experiment = plan_experiment(
                asked,
                conf_dirs,
                runs_dir,
                sweeping=True,
                objectives=named,
                earlier=earlier,
                searched={dimension.key for dimension in space.dimensions},
            )
    except ConfigError as error:
        others = find_unsound(space, fixed, folders)
        raise ConfigError(list(dict.fromkeys([*error.problems, *others]))) from error
    if not earlier:
        watching = {**experiment.config, "sweep": found.composed.config["sweep"]}
        check_losses(space, read_objectives(watching), experiment.config)
    options = _options_of(found.composed.config["sweep"])
    settled = {
        "space": space_section,
        "objectives": _with_modes(section["objectives"], objectives, experiment),
        "sampler": earlier["sweep"]["sampler"]
        if earlier
        else settled_sampler(section["sampler"], space, options),
    }
    plan = make_plan(
        experiment, fixed, space, options, {**section, **settled}, is_choice=True, conf_dirs=conf_dirs
    )
    plan = replace(plan, decided=decided)
    if own:
        left_out = tuple(one.notice() for one in own.left_out)
        plan = replace(plan, folds=own.folds, left_out=left_out)
    if tell:
        # Includes the final test rows, which no trial uses.
        warnings = warn(experiment, tell, "one value for each key" if varied else "the same arguments")
        for problem in left_out_of_options(space, fixed, folders):
            if problem not in warnings:
                warnings.append(problem)
                tell(f"warning: {problem.line}")
        plan = replace(plan, warnings=tuple(warnings))
    return plan


def _with_modes(
    section: Sequence[str], objectives: Sequence[Objective], experiment: Experiment
) -> Sequence[str]:
    """Return the section `sweep.objectives` with a mode for each metric."""
    config = experiment.config
    better: dict[str, str | None] = {}
    for name in (one.metric for one in objectives if one.mode == AUTO):
        if name == config["monitor"]:
            better[name.partition("/")[2]] = config["mode"]
        else:
            rows = experiment.estimation
            better |= directions({**config, "monitor": name}, rows.data, rows.splits[0])
    return settled_objectives(section, better)


def make_plan(
    experiment: Experiment,
    fixed: Sequence[str],
    space: Space,
    options: Sweep,
    section: Mapping[str, Any],
    *,
    is_choice: bool,
    conf_dirs: Sequence[Path] = (),
) -> SweepPlan:
    """Build the plan of a sweep, and check its options and each value of its space.

    Args:
        experiment: experiment of the first point of the space.
        fixed: overrides that all trials share.
        space: the search space.
        options: the `sweep` section without sampler and pruner.
        section: the `sweep` section of the configuration.
        is_choice: whether trials are compared on the folds of the experiment, whose held-out rows are then validation
            rows.
        conf_dirs: the user's conf folders, as they were given.

    Raises:
        ConfigError: with all mistakes.
    """
    config = {**experiment.config, "sweep": section}
    estimation = experiment.estimation.for_choosing() if is_choice else experiment.estimation
    estimation = replace(estimation, config=config)
    plan = SweepPlan(
        replace(experiment, config=config, estimation=estimation),
        tuple(fixed),
        space,
        options,
        read_objectives(config),
        experiment.estimation.whole,
        tuple(conf_dirs),
    )
    check_options(plan)
    check_points(plan)
    return plan


def settled_sampler(section: Mapping[str, Any], space: Space, options: Sweep) -> Mapping[str, Any]:
    """Return the configured sampler, or the grid if the number of trials suffices for all points.

    The choice is made once and recorded; otherwise an extended sweep could switch to the grid and repeat points.
    """
    trials = options.total(None, is_grid=False)
    return GRID if space.points is not None and space.points <= trials else section


def _options_of(section: Mapping[str, Any]) -> Sweep:
    return Sweep(
        **{key: value for key, value in section.items() if key not in ("_target_", "sampler", "pruner")}
    )


def check_options(plan: SweepPlan) -> None:
    """Check durations, sampler and pruner of a sweep.

    Raises:
        ConfigError: a duration is invalid, or the sampler or pruner does not support the sweep.
    """
    plan.options.seconds, plan.options.trial_seconds  # noqa: B018 they raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of experimental features of Optuna
        sampler = build(
            plan.sampler, where="sweep.sampler", space=plan.space, seed=0, sweep_seed=0, earlier=()
        )
    if len(plan.objectives) > 1 and type(sampler).__name__ == "CmaEsSampler":
        hint = "Choose another, such as sweep/sampler=tpe."
        raise ConfigError("CMA-ES supports a single objective only", "sweep.sampler", hint)
    target = plan.config["sweep"]["pruner"]["_target_"]
    if target.endswith(".wilcoxon") and len(plan.estimation.folds) < 2:
        hint = "Choose folds (cv=kfold), or another pruner (sweep/pruner=median)."
        raise ConfigError("compares folds, and a trial has one split", "sweep.pruner", hint)
    if len(plan.objectives) > 1 and not target.endswith(".none"):
        raise ConfigError(
            "cannot end trials early if there are several objectives",
            "sweep.pruner",
            "Choose sweep/pruner=none.",
        )


def check_points(plan: SweepPlan) -> None:
    """Compose and check each value of each dimension as `train` would, before any trial.

    Raises:
        ConfigError: with all mistakes.
    """
    estimation, problems = plan.estimation, []
    judging = [*estimation.splits, plan.whole]  # includes the final test rows
    for dimension, params in plan.space.neighbours():
        named = partial(of_value, dimension.key, dimension.domain, params)
        try:
            config = plan.trial_config(params)
            mistakes = find_mistakes(config, estimation.data, estimation.splits[0])
            mistakes += [] if mistakes else find_refused_rows(config, estimation.data, judging)
            mistakes += check_weights(config, estimation.data, judging)
            problems += [named(problem) for problem in mistakes]
        except DlcliError as error:
            problems += [named(problem) for problem in error.problems]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))

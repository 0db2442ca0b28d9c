"""From a command's words to a sweep that can run: its space, and the configuration of each point."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.errors import ConfigError, DlcliError, Problem
from dlcli.sweeps.dimension import Dimension, as_override
from dlcli.sweeps.objective import Objective, read_objectives
from dlcli.sweeps.options import Sweep
from dlcli.sweeps.space import Space, read_space

if TYPE_CHECKING:
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.experiment import Experiment
    from dlcli.splits.split import Split

# What a sweep holds fixed: trials are compared on the same rows, by the same figure.
_FIXED = ("dataset", "cv", "monitor", "mode", "executor", "tracking", "sweep", "experiment")
_FIXED_KEYS = ("runs_dir", "run_name", "experiment_name")


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that has passed every check.

    Attributes:
        experiment: that of the space's first point, folds split as a choice may see them.
        fixed: overrides that all trials share.
        space: what is searched.
        options: the `sweep` section.
        objectives: what for.
        whole: all rows that trials are made of, and the final test rows.
        conf_dirs: the user's conf folders, as they were named.
        runs_dir: where runs lie, as it was named.
    """

    experiment: Experiment
    fixed: tuple[str, ...]
    space: Space
    options: Sweep
    objectives: tuple[Objective, ...]
    whole: Split
    conf_dirs: tuple[Path, ...]
    runs_dir: Path | None

    @property
    def config(self) -> dict[str, Any]:
        """The first point's configuration, with the whole `sweep` section."""
        return self.experiment.config

    @property
    def estimation(self) -> Estimation:
        """The rows, and the splits of a trial."""
        return self.experiment.estimation

    @property
    def total(self) -> int:
        """How many trials there will be."""
        return self.options.total(self.space.points, is_grid=self.is_grid)

    @property
    def slots(self) -> int:
        """How many trials at once."""
        return min(self.config["executor"]["jobs"], max(1, self.total))

    @property
    def kept(self) -> int:
        """How many trials keep their weights."""
        keep = self.config["tracking"]["keep"]
        return self.total if keep == "all" else 1 if keep is None else int(keep)

    @property
    def is_grid(self) -> bool:
        """Whether every point is tried."""
        return bool(self.sampler["_target_"] == _GRID["_target_"])

    @property
    def sampler(self) -> Mapping[str, Any]:
        """The section of what proposes points, settled when the sweep was started (`settled_sampler`)."""
        section: Mapping[str, Any] = self.config["sweep"]["sampler"]
        return section

    def trial_config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of one point.

        Raises:
            ConfigError: this point is no experiment.
        """
        from dlcli.config.compose import compose
        from dlcli.config.supplied import BY_DATA, SUPPLIED
        from dlcli.experiment import decided_by_data, settled

        asked, folders = [*self.fixed, *_as_overrides(params)], self.experiment.folders
        composed = compose(asked, folders, SUPPLIED, BY_DATA)
        if decided := decided_by_data(composed, self.estimation.data):
            composed = compose([*asked, *decided], folders, SUPPLIED)
        config = composed.config
        # Where and how it is trained is the sweep's business, and may differ from when it was started.
        where = {key: self.config[key] for key in ("executor", "tracking", "runs_dir", "dataset")}
        where["dataset"] = {**where["dataset"], "batch_size": config["dataset"]["batch_size"]}
        del config["sweep"]
        return settled({**config, **where, "cv": self.config["cv"]})

    def command(self, params: Mapping[str, Any]) -> str:
        """The line that trains one point as an experiment of its own."""
        folders = [word for folder in self.conf_dirs for word in ("-C", str(folder))]
        kept = [text for text in self.fixed if not text.lstrip("+~").startswith(_OF_THE_SWEEP)]
        return shlex.join(["dlcli", "train", *folders, *kept, *_as_overrides(params)])


_GRID = {"_target_": "dlcli.sweeps.samplers.grid"}
_HOW = (
    "Give values: model.hidden=64,128 'optimizer.lr=tag(log,interval(1e-4,1e-1))', or a section sweep.space."
)
# Overrides that say something of the search, and not of a training.
_OF_THE_SWEEP = ("sweep.", "sweep/", "sweep=", "executor", "tracking.keep=", "run_name=")


def plan_sweep(
    overrides: Sequence[str],
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    *,
    sampler: Mapping[str, Any] | None = None,
) -> SweepPlan:
    """Read the space, and check it: the first point as an experiment, then each value of each dimension.

    A sweep that goes on keeps the `sampler` that it was started with.

    Raises:
        ConfigError: with all that was found.
    """
    from dlcli.config.compose import compose
    from dlcli.config.folders import user_folders
    from dlcli.config.supplied import BY_DATA, SUPPLIED
    from dlcli.distributed.launcher import refuse_launched
    from dlcli.experiment import plan_experiment

    refuse_launched("a sweep")
    folders = user_folders(conf_dirs)
    fixed, varied = _separate(overrides)
    # The section alone first: what it says decides which experiment there is.
    composed = compose([*fixed, *_stand_ins(varied, folders)], folders, SUPPLIED, BY_DATA)
    section = composed.config["sweep"]
    space_section = _combined(section["space"], varied, fixed)
    space = read_space(space_section, lambda group: group_options(group, folders))
    objectives = read_objectives(composed.config)
    check_space(space, objectives, _HOW)
    named = [(o.metric, o.mode) for o in objectives if section["objectives"] and not o.is_cost]
    if len(named) == 1:  # what is looked for is what each training stops by, and keeps
        fixed = [text for text in fixed if text.partition("=")[0] not in ("monitor", "mode")]
        fixed += _as_overrides(dict(zip(("monitor", "mode"), named[0], strict=True)))
    experiment = plan_experiment(
        [*fixed, *_as_overrides(space.first)], conf_dirs, runs_dir, sweeping=True, objectives=named
    )
    options = _options_of(section)
    settled = {
        "space": space_section,
        "sampler": sampler or settled_sampler(section["sampler"], space, options),
    }
    config = {**experiment.config, "sweep": {**section, **settled}}
    estimation = replace(experiment.estimation.for_choosing(), config=config)
    task = experiment.composed.choices["task"]
    plan = SweepPlan(
        replace(experiment, config=config, estimation=estimation),
        (*fixed, f"task={task}") if not any(text.startswith("task=") for text in fixed) else tuple(fixed),
        space,
        options,
        objectives,
        experiment.estimation.whole,
        tuple(conf_dirs),
        runs_dir,
    )
    _check_options(plan)
    check_points(plan)
    return plan


def _separate(overrides: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Overrides that hold for all trials, and those that stand for several values, by key."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    fixed: list[str] = []
    varied: dict[str, str] = {}
    for text in overrides:
        try:
            parsed: Any = parser.parse_override(text)
        except Exception:  # composing says what is wrong with it
            fixed.append(text)
            continue
        if parsed.is_sweep_override():
            varied[parsed.key_or_group] = text.partition("=")[2]
        else:
            fixed.append(text)
    return fixed, varied


def _combined(section: Mapping[str, Any], varied: Mapping[str, str], fixed: Sequence[str]) -> dict[str, Any]:
    """The space of the configuration and of the command line, which has the last word on every key.

    What depends on a value that the command line settles is there without condition, or not at all.
    """
    settled = {key: value for key, _, value in (text.lstrip("+").partition("=") for text in fixed)}

    def without(node: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.items():
            above, _, text = key.partition("=")
            if key in settled or key in varied:
                continue
            if not isinstance(value, Mapping):
                found[key] = value
            elif above not in settled:
                found[key] = without(value)
            elif text == settled[above]:
                found |= without(value)
        return found

    return {**without(section), **varied}


def _stand_ins(varied: Mapping[str, str], folders: Sequence[Path]) -> list[str]:
    """The first value of each key that the command line varies."""
    from dlcli.sweeps.space import read_domain

    found: list[str] = []
    problems: list[Problem] = []
    for key, text in varied.items():
        try:
            domain = read_domain(key, text, lambda group: group_options(group, folders))
            found.append(as_override(key, domain.values_in_order()[0]))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def group_options(group: str, folders: Sequence[Path]) -> list[str]:
    """What a group can be: for `model=glob(*)`."""
    from dlcli.config.folders import options

    return list(options(group, folders))


def _as_overrides(params: Mapping[str, Any]) -> list[str]:
    return [as_override(key, value) for key, value in params.items()]


def settled_sampler(section: Mapping[str, Any], space: Space, options: Sweep) -> Mapping[str, Any]:
    """What was asked for; or all points, where as many trials as were asked for suffice for them.

    Settled once: with more trials, a sweep that was extended would pass from one to the other, and try points twice.
    """
    trials = options.total(None, is_grid=False)
    return _GRID if space.points is not None and space.points <= trials else section


def _options_of(section: Mapping[str, Any]) -> Sweep:
    return Sweep(
        **{key: value for key, value in section.items() if key not in ("_target_", "sampler", "pruner")}
    )


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


def _check_options(plan: SweepPlan) -> None:
    from dlcli.config.build import build

    plan.options.seconds  # noqa: B018 it raises
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
            "cannot end trials early where there are several objectives", "sweep.pruner", "sweep/pruner=none"
        )


def check_points(plan: SweepPlan) -> None:
    """Each value of each dimension, composed and looked at as `train` would: a mistake is told before any trial.

    Raises:
        ConfigError: with all that was found.
    """
    from dlcli.checks import find_mistakes
    from dlcli.starting_weights import check_weights

    estimation, problems = plan.estimation, []
    judging = [*estimation.splits, plan.whole]  # the final test rows too
    for dimension, params in plan.space.neighbours():
        try:
            config = plan.trial_config(params)
            problems += [
                _of(dimension, params, problem)
                for problem in (
                    *find_mistakes(config, estimation.data, estimation.splits[0]),
                    *check_weights(config, estimation.data, judging),
                )
            ]
        except DlcliError as error:
            problems += [_of(dimension, params, problem) for problem in error.problems]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _of(dimension: Dimension, params: Mapping[str, Any], problem: Problem) -> Problem:
    """A mistake of one point, with the value that it is a mistake of."""
    override = as_override(dimension.key, params[dimension.key])
    if problem.where == dimension.key:
        return replace(problem, where=override)
    return replace(problem, message=f"with {override}: {problem.message}")

"""From a command's words to a sweep that can run: its space, and the configuration of each point."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.plain_secrets import written_words
from dlcli.errors import ConfigError
from dlcli.sweeps.objective import Objective, read_objectives
from dlcli.sweeps.options import Sweep
from dlcli.sweeps.space import Space
from dlcli.sweeps.space_parser import (
    as_overrides,
    combined_space,
    domains_of,
    find_unsound,
    searched_space,
    separate,
    with_task,
)
from dlcli.sweeps.validation import check_options, check_points, check_space, naming_values

if TYPE_CHECKING:
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.experiment import Experiment
    from dlcli.splits.split import Split


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that has passed every check.

    Attributes:
        experiment: that of the space's first point, folds split as a choice may see them.
        fixed: overrides that all trials share, as they were asked for.
        space: what is searched.
        options: the `sweep` section.
        objectives: what for.
        whole: all rows that trials are made of, and the final test rows.
        conf_dirs: the user's conf folders, as they were named.
    """

    experiment: Experiment
    fixed: tuple[str, ...]
    space: Space
    options: Sweep
    objectives: tuple[Objective, ...]
    whole: Split
    conf_dirs: tuple[Path, ...]

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

    @property
    def recorded_params(self) -> dict[str, Any]:
        """What MLflow shows of it: no key that is searched has a value, as if that had been chosen."""
        from dlcli.tracking.mlflow_inputs import flatten

        section = self.config["sweep"]
        config = {**self.config, "sweep": {**section, "space": json.dumps(section["space"])}}
        searched = {dimension.key.replace("/", ".") for dimension in self.space.dimensions}
        fixed = {
            key: text
            for key, text in flatten(config)
            if not any(f"{key}.".startswith(f"{other}.") for other in searched)
        }
        return fixed | dict.fromkeys(sorted(searched), "searched: see sweep.space")

    def trial_config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of one point.

        Raises:
            ConfigError: this point is no experiment.
        """
        from dlcli.config.compose import compose
        from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
        from dlcli.experiment import decided_by_data, settled

        fixed = with_task(self.fixed, self.experiment.composed.choices["task"])
        asked, folders = [*fixed, *as_overrides(params)], self.experiment.folders
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
        return shlex.join(["dlcli", "train", *folders, *written_words(self.words(params))])

    def words(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of one point, without those that say something of the search."""
        kept = [text for text in self.fixed if not text.lstrip("+~").startswith(_OF_THE_SWEEP)]
        return [*kept, *as_overrides(params)]


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
    tell: Callable[[str], None] | None = None,
) -> SweepPlan:
    """Read the space, and check it: the first point as an experiment, then each value of each dimension.

    A sweep that goes on keeps the `sampler` that it was started with. Warnings are told as `train` tells them.

    Raises:
        ConfigError: with all that was found.
    """
    from dlcli.checks.settings import warn
    from dlcli.config.compose import draft
    from dlcli.config.folders import groups, user_folders
    from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
    from dlcli.distributed.launcher import refuse_launched
    from dlcli.experiment import plan_experiment

    refuse_launched("a sweep")
    folders = user_folders(conf_dirs)
    fixed, varied = separate(overrides)
    domains = domains_of(varied, folders)
    known = groups(folders)
    first = {key: domain.values_in_order()[0] for key, domain in domains.items() if key in known}
    # The section alone first: what it says decides which experiment there is, and which other mistakes.
    found = draft([*fixed, *as_overrides(first)], folders, SUPPLIED, BY_DATA)
    if "sweep" in found.unsound:
        raise ConfigError(found.problems)
    section = found.composed.config["sweep"]
    space_section = combined_space(section["space"], varied, domains, fixed)
    space = searched_space(space_section, fixed, folders)
    objectives = read_objectives(found.composed.config)
    check_space(space, objectives, _HOW)
    named = [(o.metric, o.mode) for o in objectives if section["objectives"] and not o.is_cost]
    if len(named) == 1:  # what is looked for is what each training stops by, and keeps
        fixed = [text for text in fixed if text.partition("=")[0] not in ("monitor", "mode")]
        fixed += as_overrides(dict(zip(("monitor", "mode"), named[0], strict=True)))
    asked = [*fixed, *as_overrides(space.first)]
    try:
        with naming_values(space.domains_at(space.first), space.first):
            experiment = plan_experiment(asked, conf_dirs, runs_dir, sweeping=True, objectives=named)
    except ConfigError as error:
        others = find_unsound(space, fixed, folders)
        raise ConfigError(list(dict.fromkeys([*error.problems, *others]))) from error
    options = _options_of(section)
    settled = {
        "space": space_section,
        "sampler": sampler or settled_sampler(section["sampler"], space, options),
    }
    config = {**experiment.config, "sweep": {**section, **settled}}
    estimation = replace(experiment.estimation.for_choosing(), config=config)
    plan = SweepPlan(
        replace(experiment, config=config, estimation=estimation),
        tuple(fixed),
        space,
        options,
        objectives,
        experiment.estimation.whole,
        tuple(conf_dirs),
    )
    check_options(plan)
    check_points(plan)
    if tell:
        warn(experiment, tell, "one value for each key")  # of the test rows too, which no trial looks at
    return plan


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

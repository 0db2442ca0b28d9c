"""The plan of a sweep: its space, and the configuration of each point."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.assembly.automatic import automatic_tags, with_choices
from dlcli.assembly.windows_to_train import PROFILE
from dlcli.config.build import TARGET
from dlcli.config.compose import Draft, draft, with_decided
from dlcli.config.next_command import runs_dir_option
from dlcli.config.pasted import dlcli_line, override
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.variation import Variations
from dlcli.datasets.notices import Notice
from dlcli.datasets.raw_rows import FEEDING
from dlcli.errors import ConfigError, Problem
from dlcli.executors.stack_size import job_layout
from dlcli.experiment import decided_by_data, settled, settled_metrics
from dlcli.runs.recorded_choices import is_open
from dlcli.runs.shown_settings import shown_settings
from dlcli.runs.trial_words import OF_THE_SWEEP
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.space import Space
from dlcli.sweeps.space_parser import as_overrides, with_task
from dlcli.sweeps.sweep_options import Sweep

if TYPE_CHECKING:
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.experiment import Experiment
    from dlcli.splits.split import Split

# Samplers that try every point of the space.
GRID = {TARGET: "dlcli.sweeps.samplers.grid"}


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that has passed every check.

    Attributes:
        experiment: experiment of the first point of the space; its folds do not contain the final test rows.
        fixed: overrides that all trials share.
        space: the search space.
        options: the `sweep` section.
        objectives: objectives of the sweep.
        whole: the split of the refit: the rows of the trials, and the final test rows.
        conf_dirs: the user's conf folders, as they were given.
        warnings: warnings about settings and data, if they were checked.
        decided: lines of the panel about models and folds that dlcli has chosen.
        folds: overrides of the folds if dlcli has chosen them. They are recorded with those of the command, so that a
            trial that is repeated as a separate run has the same folds.
        left_out: notices on models and values that do not fit the rows, and are not searched.
    """

    experiment: Experiment
    fixed: tuple[str, ...]
    space: Space
    options: Sweep
    objectives: tuple[Objective, ...]
    whole: Split
    conf_dirs: tuple[Path, ...]
    warnings: tuple[Problem, ...] = ()
    decided: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    left_out: tuple[Notice, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the first point, with the `sweep` section."""
        return self.experiment.config

    @property
    def estimation(self) -> Estimation:
        """The rows, and the splits of a trial."""
        return self.experiment.estimation

    @property
    def total(self) -> int:
        """The number of trials."""
        return self.options.total(self.space.points, is_grid=self.is_grid)

    @property
    def slots(self) -> int:
        """The number of trials that run at the same time."""
        jobs = self.config["executor"]["jobs"]
        # The points that a sampler proposes depend on the results that it knows.
        return 1 if jobs == "auto" else min(jobs, max(1, self.total))

    @property
    def is_limited(self) -> bool:
        """Whether the sweep or its trials have a time limit."""
        return self.options.seconds is not None or self.options.trial_seconds is not None

    @property
    def together(self) -> int:
        """The number of trials that may be trained together, as one model."""
        if self.is_limited:
            return 1
        layout = job_layout(self.config_of_jobs, self.total, self.estimation.data)
        return layout.at_once if layout.stack > 1 else 1

    @property
    def config_of_jobs(self) -> dict[str, Any]:
        """The configuration with the number of processes that run trials."""
        return {**self.config, "executor": {**self.config["executor"], "jobs": self.slots}}

    @property
    def may_learn_late(self) -> bool:
        """Whether trials may start together although the points of some would follow from the results of others."""
        asked = self.config["executor"].get("stack", False)
        return not isinstance(asked, bool) and asked != "auto"

    @property
    def kept(self) -> int:
        """The number of trials that keep their weights."""
        keep = self.config["tracking"]["keep"]
        return self.total if keep == "all" else max(self.options.ensemble, 1 if keep is None else int(keep))

    @property
    def is_grid(self) -> bool:
        """Whether every point is tried."""
        return bool(self.sampler[TARGET] == GRID[TARGET])

    @property
    def sampler(self) -> Mapping[str, Any]:
        """The section `sweep.sampler`, as determined when the sweep started (`settled_sampler`)."""
        section: Mapping[str, Any] = self.config["sweep"]["sampler"]
        return section

    @property
    def recorded_params(self) -> dict[str, Any]:
        """The parameters that MLflow shows; searched keys have a text instead of a value."""
        section = self.config["sweep"]
        config = {**self.config, "sweep": {**section, "space": json.dumps(section["space"])}}
        searched = {dimension.key.replace("/", ".") for dimension in self.space.dimensions}
        fixed = {
            key: text
            for key, text in shown_settings(
                config, self.experiment.composed.choices, self.experiment.folders
            ).items()
            if not any(f"{key}.".startswith(f"{other}.") for other in searched)
        }
        return fixed | dict.fromkeys(sorted(searched), "searched: see sweep.space")

    @property
    def _shared(self) -> tuple[str, ...]:
        return with_task(self.fixed, self.experiment.composed.choices["task"])

    @cached_property
    def _variations(self) -> Variations:
        return Variations(self._draft, self.experiment.folders)

    def _draft(self, overrides: Sequence[str]) -> Draft:
        """Return the draft of a point, with all options determined.

        Raises:
            ConfigError: it has mistakes.
        """
        found = draft(overrides, self.experiment.folders, SUPPLIED, BY_DATA)
        if not found.problems and (decided := decided_by_data(found.composed, self.estimation.data)):
            found = with_decided(found, decided)
        if found.problems:
            raise ConfigError(found.problems)
        return found

    def trial_config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration of one point.

        Raises:
            ConfigError: the point is not a valid experiment.
        """
        return self.trial(params)[0]

    def trial(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the configuration of one point, and the tags that record its values of `auto`.

        Raises:
            ConfigError: the point is not a valid experiment.
        """
        fixed, folders = self._shared, self.experiment.folders
        composed = self._variations.composed(fixed, as_overrides(params))
        config = {**composed.config}
        # These settings belong to the sweep, and may have changed since it was started.
        where = {key: self.config[key] for key in ("executor", "tracking", "runs_dir", "dataset")}
        feeding = {key: config["dataset"][key] for key in FEEDING if key in config["dataset"]}
        where["dataset"] = {**where["dataset"], **feeding}
        del config["sweep"]
        config = settled({**config, **where, "cv": self.config["cv"]}, composed)
        earlier = self.experiment.automatic.earlier
        config, *wrong = settled_metrics(config, folders, self.estimation, earlier=earlier)
        if problems := [problem for part in wrong for problem in part]:
            raise ConfigError(problems)
        choices = self.experiment.automatic.choices(config, composed)
        return with_choices(config, choices), automatic_tags(choices)

    def command(self, params: Mapping[str, Any]) -> str:
        """Return the command that trains one point as a separate experiment."""
        folders = [word for folder in self.conf_dirs for word in ("-C", str(folder))]
        words = [*folders, *self.words(params)]
        if not any(word.startswith("runs_dir=") for word in words):  # may be an override, given in Python
            _, *place = runs_dir_option(Path(self.config["runs_dir"]).absolute()) or [""]
            words += [override("runs_dir", folder) for folder in place]
        return dlcli_line("train", *words)

    def words(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides of one point, without those that concern the search only.

        They have the lookback of all trials, if a trial by itself might have a shorter one.
        """
        kept = [text for text in self.fixed if not text.lstrip("+~").startswith(OF_THE_SWEEP)]
        if PROFILE in params and is_open(self.experiment.composed.config["dataset"]):
            kept.append(override("dataset.lookback", self.config["dataset"]["lookback"]))
        return [*kept, *as_overrides(params)]

"""Nested cross-validation: a sweep within each fold's training rows, whose winner the fold trains.

Choosing by the rows that judge makes the winner look better than it is (Cawley and Talbot, JMLR 2010); here the rows
that a fold holds out are in none of its searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from dlcli.config.build import build
from dlcli.cross_validation.children import Children
from dlcli.cross_validation.choice import Choice
from dlcli.cross_validation.estimation import Estimation, Fold
from dlcli.distributed.launcher import refuse_launched
from dlcli.errors import ConfigError
from dlcli.executors.base import Executor
from dlcli.runs.folder import read_result
from dlcli.splits.nested import Nested
from dlcli.splits.split import Split
from dlcli.sweeps.objective import read_objectives
from dlcli.sweeps.options import Sweep
from dlcli.sweeps.plan import SweepPlan, settled_sampler
from dlcli.sweeps.space_parser import searched_space
from dlcli.sweeps.sweep import open_executor, sweep
from dlcli.sweeps.validation import check_points, check_space
from dlcli.sweeps.watcher import SweepWatcher

if TYPE_CHECKING:
    from dlcli.experiment import Experiment

_WHERE = "cv.space"
_HOW = "Give values: 'cv.space={optimizer.lr:[0.001,0.01],model.hidden:[16,64]}'."


@dataclass(frozen=True)
class NestedSearch:
    """The searches of all folds; called by the cross-validation that they belong to.

    Attributes:
        plan: what they share: the space, and how a point becomes a configuration. Its rows are the folds' own.
        strategy: splits a fold's training rows.
        watcher: hears of them.
    """

    plan: SweepPlan
    strategy: Nested
    watcher: SweepWatcher = field(default_factory=SweepWatcher)

    @property
    def estimation(self) -> Estimation:
        """The folds that search, and their rows."""
        return self.plan.estimation

    def __call__(self, children: Children, folds: Sequence[Fold]) -> list[Choice]:
        """What each fold chose; one split is searched once, whatever the seeds."""
        found: dict[int, Choice] = {}
        with ExitStack() as stack:
            # Opened when the first search needs it, and kept for all: workers take seconds to start.
            executor = cache(lambda: stack.enter_context(open_executor(self.plan)))
            for fold in folds:
                if fold.number not in found:
                    found[fold.number] = self._choose(children, fold, executor)
        return [found[fold.number] for fold in folds]

    def _choose(self, children: Children, fold: Fold, executor: Callable[[], Executor]) -> Choice:
        plan = self.plan_of(fold)
        place = f"search of fold {fold.number}"
        run_dir = children.run_dir(
            place,
            "sweep",
            plan.config,
            plan.whole,
            {"fold": fold.number},
            {
                "dlcli.fold": str(fold.number),
                "dlcli.seed": str(plan.config["seed"]),
                "dlcli.data_fingerprint": plan.estimation.data.fingerprint,
            },
        )
        result = read_result(run_dir)
        if result.status != "FINISHED":
            with self.watcher.searching(f"{place} ({fold.number + 1} of {len(self.estimation.splits)})"):
                result = sweep(
                    plan, run_dir, children.store, self.watcher, system_metrics=False, executor=executor()
                )
        assert result.best is not None
        params = result.best["params"]
        return Choice(params, self.plan.trial_config(params))

    def plan_of(self, fold: Fold) -> SweepPlan:
        """The sweep of one fold: all rows that it does not train on count as final test rows, and are not looked at."""
        import numpy as np

        outer = self.plan.estimation
        config = self.plan.config
        config = {
            **config,
            "cv": {**config["cv"], "seeds": 1},
            "tracking": {**config["tracking"], "keep": 0},
        }
        mine = np.concatenate([fold.split.train, fold.split.val])
        others = np.setdiff1d(np.arange(len(outer.data)), mine)
        splits = self.strategy.inner_splits(outer.data, fold.split)
        inner = Estimation(config, outer.data, splits, others, outer.code).for_choosing()
        whole = Split(np.sort(mine), mine[:0], mine[:0])
        experiment = replace(self.plan.experiment, config=config, estimation=inner)
        return replace(self.plan, experiment=experiment, whole=whole)


def plan_nested(
    experiment: Experiment, overrides: Sequence[str], watcher: SweepWatcher | None = None
) -> NestedSearch | None:
    """The searches of an experiment, checked as a sweep is; None where its folds choose nothing.

    Raises:
        ConfigError: with all that was found.
    """
    strategy = build(experiment.config["cv"], where="cv")
    if not isinstance(strategy, Nested):
        return None
    refuse_launched("cv=nested")
    if experiment.config["cv"]["refit"]:
        raise ConfigError(
            "each fold chooses its own settings: there is no one configuration to refit",
            "cv.refit",
            "Leave it out; dlcli sweep with the same values finds and trains a final model.",
        )
    fixed = _of_trials(overrides)
    space = searched_space(strategy.space, fixed, experiment.folders, _WHERE)
    options = Sweep(trials=strategy.trials if strategy.search == "random" else None, refit=False)
    sampler = {"_target_": f"dlcli.sweeps.samplers.{strategy.search}"}
    section = {
        "space": strategy.space,
        "objectives": [],
        "sampler": settled_sampler(sampler, space, options),
        "pruner": {"_target_": "dlcli.sweeps.pruners.none"},
    }
    config = {**experiment.config, "sweep": section}
    objectives = read_objectives(config)
    check_space(space, objectives, _HOW, _WHERE)
    if strategy.search == "grid" and (endless := space.endless):
        raise ConfigError(
            f"a grid cannot hold all numbers of {endless.key}",
            _WHERE,
            "Give single values, or choose cv.search=random.",
        )
    estimation = replace(experiment.estimation, config=config)
    plan = SweepPlan(
        replace(experiment, config=config, estimation=estimation),
        tuple(fixed),
        space,
        options,
        objectives,
        estimation.whole,
        conf_dirs=(),
    )
    check_points(plan)
    return NestedSearch(plan, strategy, watcher or SweepWatcher())


def _of_trials(overrides: Sequence[str]) -> list[str]:
    """What trials are told; how the folds are split is not their business."""
    return [text for text in overrides if not text.lstrip("+~").startswith(("cv=", "cv."))]

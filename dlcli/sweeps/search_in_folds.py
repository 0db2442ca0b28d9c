"""Nested cross-validation: a sweep within the training rows of each fold; the fold is trained with the best settings.

Selecting settings on the rows of the evaluation biases their metrics (Cawley and Talbot, JMLR 2010). Here, the
held-out rows of a fold are not used by its search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcli.config.build import build
from dlcli.config.shared_loss import CHANGES_LOSS, shared_by_models
from dlcli.cross_validation.children import Children
from dlcli.cross_validation.chosen_settings import FoldSettings
from dlcli.cross_validation.estimation import Estimation, Fold
from dlcli.distributed.launcher import refuse_launched
from dlcli.errors import ConfigError
from dlcli.events import Listener, SearchEnded, SearchStarted, ignore
from dlcli.executors.executor import Executor
from dlcli.runs.folder import read_result
from dlcli.splits.nested import Nested
from dlcli.splits.split import Split
from dlcli.sweeps.objective import read_objectives
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.planning import make_plan, settled_sampler
from dlcli.sweeps.run_sweep import open_executor, run_sweep
from dlcli.sweeps.space_parser import searched_space
from dlcli.sweeps.sweep_options import Sweep
from dlcli.sweeps.validation import check_losses, check_space

if TYPE_CHECKING:
    from dlcli.experiment import Experiment

_WHERE = "cv.space"
_HOW = "Give values: 'cv.space={optimizer.lr:[0.001,0.01],model.hidden:[16,64]}'."


@dataclass(frozen=True)
class NestedSearch:
    """The searches of all folds, called by their cross-validation.

    Attributes:
        plan: the plan that all searches share: the space, and the configuration of a point.
        strategy: splits the training rows of a fold.
        listen: receives the events of the searches.
    """

    plan: SweepPlan
    strategy: Nested
    listen: Listener = ignore

    @property
    def estimation(self) -> Estimation:
        """The outer folds and their rows."""
        return self.plan.estimation

    def __call__(self, children: Children, folds: Sequence[Fold]) -> list[FoldSettings]:
        """Return the settings that each fold chose; a split is searched once for all seeds."""
        found: dict[int, FoldSettings] = {}
        with ExitStack() as stack:
            # One executor for all searches, because workers take seconds to start.
            executor = cache(lambda: stack.enter_context(open_executor(self.plan)))
            for fold in folds:
                if fold.number not in found:
                    found[fold.number] = self._choose(children, fold, executor)
        return [found[fold.number] for fold in folds]

    def _choose(self, children: Children, fold: Fold, executor: Callable[[], Executor]) -> FoldSettings:
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
            self.listen(SearchStarted(f"{place} ({fold.number + 1} of {len(self.estimation.splits)})"))
            try:
                result = run_sweep(
                    plan, run_dir, children.store, self.listen, system_metrics=False, executor=executor()
                )
            finally:
                self.listen(SearchEnded())
        assert result.best is not None
        params = result.best["params"]
        return FoldSettings(params, self.plan.trial_config(params))

    def plan_of(self, fold: Fold) -> SweepPlan:
        """Return the sweep of one fold; all rows outside the fold's training rows count as its final test rows."""
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


def shared_in_folds(
    experiment: Experiment, overrides: Sequence[str], earlier: Mapping[str, Any] | None = None
) -> list[str]:
    """Return the overrides that all models of the searches share (`shared_by_models`).

    Args:
        experiment: the experiment as it was planned without them.
        overrides: the user's overrides.
        earlier: the recorded configuration of a cross-validation that continues.
    """
    if not CHANGES_LOSS & set(experiment.config["cv"].get("space") or ()):
        return []
    return shared_by_models(experiment.composed, overrides, earlier)


def plan_nested(
    experiment: Experiment, overrides: Sequence[str], listen: Listener = ignore
) -> NestedSearch | None:
    """Return the searches of an experiment, after the checks of a sweep; None if it has no search in folds.

    Raises:
        ConfigError: with all mistakes.
    """
    strategy = build(experiment.config["cv"], where="cv")
    if not isinstance(strategy, Nested):
        return None
    refuse_launched("cv=nested")
    if experiment.config["cv"]["refit"]:
        raise ConfigError(
            "each fold chooses its own settings, so there is no single configuration to refit",
            "cv.refit",
            "Leave it out; dlcli sweep with the same values finds and trains a final model.",
        )
    fixed = _of_trials(overrides)
    space = searched_space(strategy.space, fixed, experiment.folders, _WHERE)
    options = Sweep(
        trials=strategy.trials if strategy.search == "random" else None,
        trial_timeout=experiment.composed.config["sweep"]["trial_timeout"],
        refit=False,
    )
    sampler = {"_target_": f"dlcli.sweeps.samplers.{strategy.search}"}
    section = {
        "space": strategy.space,
        "objectives": [],
        "sampler": settled_sampler(sampler, space, options),
        "pruner": {"_target_": "dlcli.sweeps.pruners.none"},
    }
    objectives = read_objectives({**experiment.config, "sweep": section})
    check_space(space, objectives, _HOW, _WHERE)
    check_losses(space, objectives, experiment.config)
    if strategy.search == "grid" and (endless := space.endless):
        raise ConfigError(
            f"a grid cannot contain all numbers of {endless.key}",
            _WHERE,
            "Give single values, or choose cv.search=random.",
        )
    plan = make_plan(experiment, fixed, space, options, section, is_choice=False)
    return NestedSearch(plan, strategy, listen)


def _of_trials(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that apply to trials: all except those of the outer folds."""
    return [text for text in overrides if not text.lstrip("+~").startswith(("cv=", "cv."))]

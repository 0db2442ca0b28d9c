"""The Optuna study of a sweep, rebuilt from the trials' records whenever the sweep continues.

It is kept in memory. Only the trials' ledgers are on disk, because two records could disagree after a kill.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from dlcli.config.build import TARGET, build
from dlcli.errors import CorruptRun
from dlcli.runs.trial_words import TRIAL_FILE
from dlcli.sweeps.auto_space import starts_in_order
from dlcli.sweeps.dimension import Choice, Dimension, plain_text
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.samplers import Grid, Random, Sobol
from dlcli.sweeps.space import Space
from dlcli.sweeps.trial import Trial
from dlcli.training.loader import derive_seed

# Samplers whose points do not follow from results, and those whose first points do not.
_INDEPENDENT = tuple(f"dlcli.sweeps.samplers.{name}" for name in ("grid", "random", "sobol"))
_LEARNING, _STARTUP = tuple(f"dlcli.sweeps.samplers.{name}" for name in ("tpe", "gp")), 10

# Number of random points to draw when looking for an untried one. If all were tried, little of the space is left.
_DRAWS = 100


class Study:
    """Proposes points and decides on pruning. `report` is thread-safe.

    Args:
        space: the search space.
        objectives: objectives of the sweep.
        sampler: the section `sweep.sampler`.
        pruner: the section `sweep.pruner`.
        seed: seed of the sweep.
        folds: number of folds of a trial.
        epochs: maximum number of epochs of a fold.
        earlier: recorded trials, in the order of their numbers.
        trials: maximum number of trials; None for no limit.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any],
        seed: int,
        folds: int,
        epochs: int,
        earlier: Sequence[Trial] = (),
        trials: int | None = None,
    ) -> None:
        self._space = space
        self._starts = starts_in_order(space, len(space.starts) if trials is None else trials)
        self._sampler = sampler
        self._seed = seed
        self._is_multiple = len(objectives) > 1
        self._last = folds if folds > 1 else epochs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of experimental features of Optuna
            self._pruner = build(pruner, where="sweep.pruner", max_resource=max(1, self._last))
        # The Wilcoxon pruner compares single folds with those of the best trial, others the mean of finished folds.
        self._averages = folds > 1 and not isinstance(self._pruner, optuna.pruners.WilcoxonPruner)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna.create_study(
            study_name="dlcli",  # Hyperband assigns brackets by a hash of this name, so it must not change
            directions=["minimize" if objective.mode == "min" else "maximize" for objective in objectives],
            pruner=self._pruner,
        )
        self._tried: set[frozenset[tuple[str, str]]] = set()
        self._earlier: list[FrozenTrial] = []
        for trial in earlier:
            _check_params(trial, space)
            self._add(trial.params)
            for step in trial.reports:
                self.report(trial, step)  # successive halving stores the rung of a trial when it is asked
            if trial.state != "running":
                self.tell(trial)
        self._earlier = self.optuna.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    @property
    def prunes(self) -> bool:
        """Whether any trial may be ended early."""
        return not self._is_multiple and not isinstance(self._pruner, optuna.pruners.NopPruner)

    def is_independent(self, number: int) -> bool:
        """Return whether a trial would be the same if it started before the others had ended."""
        if self.prunes:
            return False
        target = self._sampler[TARGET]
        startup = self._sampler.get("startup_trials", _STARTUP) if target in _LEARNING else 0
        return target in _INDEPENDENT or number < max(startup, len(self._starts))

    def ask(self, number: int) -> dict[str, Any]:
        """Return the point of the trial with this number, which is the next one.

        The starting points come first, in an order that an earlier version may have begun differently. An untried point
        is returned if there is any, because repeating a trial gives no information.
        """
        starts = (start for start in self._starts if _identity(start) not in self._tried)
        if number < len(self._starts) and (start := next(starts, None)) is not None:
            self._add(start)
            return start
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of experimental features of Optuna
            sampler = build(
                self._sampler,
                where="sweep.sampler",
                space=self._space,
                seed=derive_seed(self._seed, number) % 2**32,
                sweep_seed=self._seed,
                earlier=self._earlier,
            )
        if isinstance(sampler, Grid | Random | Sobol):
            params = self._untried(number, sampler.point(number))
            self._add(params)
            return params
        self.optuna.sampler = sampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self.optuna.ask()
            assert trial.number == number
            proposed = self._space.walk(lambda dimension: _suggest(trial, dimension))
        params = self._untried(number, proposed)
        if params is not proposed:  # nothing has used the trial yet, so its point can be replaced
            frozen = self.optuna.get_trials(deepcopy=False)[number]
            frozen.params, frozen.distributions = self._as_optuna_has(params)
        self._tried.add(_identity(params))
        return params

    def _untried(self, number: int, proposed: dict[str, Any]) -> dict[str, Any]:
        """Return the proposed point, or a random untried one if it has been tried."""
        if _identity(proposed) not in self._tried:
            return proposed
        new = (point for point in self._others(number) if _identity(point) not in self._tried)
        return next(new, proposed)

    def _others(self, number: int) -> Iterator[dict[str, Any]]:
        random = Random(self._space, derive_seed(self._seed, number))
        yield from map(random.point, range(_DRAWS))
        if self._space.points is not None:
            yield from self._space.all_points

    def report(self, trial: Trial, step: int) -> bool:
        """Report a trial's value at a step (an epoch or a fold, counted from 1); return whether to prune it."""
        if not self.prunes or step not in trial.reports:
            return False
        so_far = [trial.reports[s] for s in range(1, step + 1)] if self._averages else [trial.reports[step]]
        running = optuna.trial.Trial(
            self.optuna, self.optuna.get_trials(deepcopy=False)[trial.number]._trial_id
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trial that continues reports a step twice
            running.report(statistics.fmean(so_far), step)
            # At its last step pruning would save nothing.
            return running.should_prune() and step != self._last

    def tell(self, trial: Trial) -> None:
        """Register the end of a trial.

        Failed trials are registered as pruned, so that the sampler avoids points where the loss diverges or memory runs
        out; Optuna ignores trials in the state FAIL.
        """
        state = TrialState.COMPLETE if trial.state == "finished" else TrialState.PRUNED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.optuna.tell(trial.number, trial.values if state is TrialState.COMPLETE else None, state)

    def importances(self, seed: int) -> dict[str, float]:
        """Return the share of the first objective's variance that each key explains, the largest first.

        The shares are computed by fANOVA (Hutter et al., 2014) for the keys that every trial has. The result is empty
        if there are fewer than four finished trials or all have the same value.
        """
        done = [t for t in self.optuna.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
        if len(done) < 4 or len({trial.values[0] for trial in done}) < 2:
            return {}
        if len(self._space.dimensions) == 1:
            return {self._space.dimensions[0].name: 1.0}  # fitting the forest would take longer than a trial
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, max_depth=32, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.importance.get_param_importances(
                self.optuna, evaluator=evaluator, target=lambda trial: trial.values[0]
            )

    def _add(self, params: Mapping[str, Any]) -> None:
        """Add a running trial with a known point to Optuna; the point is empty if the trial's record is lost."""
        values, distributions = self._as_optuna_has(params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.optuna.add_trial(
                create_trial(state=TrialState.RUNNING, params=values, distributions=distributions)
            )
        self._tried.add(_identity(params))

    def _as_optuna_has(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return the values and distributions of a point, by name of the dimension, as Optuna represents them."""
        existing = [d for d in self._space.dimensions if d.key in params and d.exists(params)]
        values = {d.name: _label(d, params[d.key]) for d in existing}
        return values, {d.name: _distribution(d) for d in existing}


def _check_params(trial: Trial, space: Space) -> None:
    """Check that a recorded trial has settings of the search space only, since they become overrides.

    Raises:
        CorruptRun: it has other settings.
    """
    if others := trial.params.keys() - {dimension.key for dimension in space.dimensions}:
        raise CorruptRun(
            f"the trial's settings are not those of the search: {', '.join(sorted(others)[:3])}",
            str(trial.run_dir / TRIAL_FILE),
            "Copy the folder again.",
        )


def _identity(params: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((key, plain_text(value)) for key, value in params.items())


def _suggest(trial: optuna.trial.Trial, dimension: Dimension) -> Any:
    distribution = _distribution(dimension)
    if isinstance(distribution, CategoricalDistribution):
        label = trial.suggest_categorical(dimension.name, distribution.choices)
        assert isinstance(dimension.domain, Choice)
        return dimension.domain.values[distribution.choices.index(label)]
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(dimension.name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        dimension.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    domain = dimension.domain
    if isinstance(domain, Choice):
        return CategoricalDistribution([_label(dimension, value) for value in domain.values])
    if domain.is_whole:
        step = 1 if domain.log else int(domain.step or 1)
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _label(dimension: Dimension, value: Any) -> Any:
    """Return a value in a type that Optuna accepts: a list among the choices becomes text."""
    if isinstance(dimension.domain, Choice) and isinstance(value, list | tuple | dict):
        return plain_text(value)
    return value

"""The group `sweep/sampler`: samplers of dlcli and of Optuna, which propose the next point.

A target receives those of the following arguments that its signature names: `space`; `sweep_seed`, which is the same
for all trials; `seed`, which differs between trials, so that proposals depend on the results, but not on how often the
sweep was stopped; and `earlier`, the trials from before the sweep was resumed. Any Optuna sampler can replace one
without keys: `sweep/sampler=random sweep.sampler._target_=optuna.samplers.NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Gt
from optuna.samplers import CmaEsSampler, GPSampler, TPESampler

from dlcli.errors import ConfigError
from dlcli.sweeps.dimension import Range
from dlcli.sweeps.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

# Minimum number of trials to learn from, since Optuna uses the best tenth.
_ENOUGH_TO_WARM = 20


def grid(space: Space) -> Grid:
    """Try every point."""
    if endless := space.endless:
        raise ConfigError(
            f"a grid cannot contain all numbers of {endless.key}",
            "sweep.sampler",
            f"Write {endless.key}=range(LOW,HIGH,STEP) or a choice, or choose sweep/sampler=random.",
        )
    return Grid(space)


def random(space: Space, sweep_seed: int) -> Random:
    """Draw points at random."""

    return Random(space, sweep_seed)


def sobol(space: Space, sweep_seed: int) -> Sobol:
    """Draw points that fill the space evenly."""

    return Sobol(space, sweep_seed)


def tpe(
    seed: int, startup_trials: Annotated[int, Ge(1)] = 10, candidates: Annotated[int, Ge(1)] = 24
) -> BaseSampler:
    """Tree-structured Parzen estimator, multivariate (Bergstra et al., 2011; Falkner et al., 2018).

    Args:
        seed: of this trial.
        startup_trials: number of initial trials that are drawn at random.
        candidates: number of drawn points, of which the most promising one is proposed.
    """
    # With `group=True`, conditional keys are modelled in groups.
    return TPESampler(
        seed=seed, n_startup_trials=startup_trials, n_ei_candidates=candidates, multivariate=True, group=True
    )


def gp(seed: int, startup_trials: Annotated[int, Ge(1)] = 10) -> BaseSampler:
    """Gaussian process with expected improvement.

    Args:
        seed: of this trial.
        startup_trials: number of trials that are drawn at random before.
    """
    return GPSampler(seed=seed, n_startup_trials=startup_trials)


def cmaes(
    seed: int,
    space: Space,
    earlier: Sequence[FrozenTrial],
    sigma: Annotated[float, Gt(0)] | None = None,
    population: Annotated[int, Ge(2)] | None = None,
) -> BaseSampler:
    """CMA-ES (Hansen and Ostermeier, 2001) for numbers; choices are drawn at random.

    A resumed sweep with numeric keys only restarts near the good earlier trials (warm start, Nomura et al., 2021).

    Args:
        seed: of this trial.
        space: the search space.
        earlier: trials from before the sweep was resumed.
        sigma: initial standard deviation as a share of the space; None uses Optuna's default.
        population: number of trials per generation; None uses Optuna's default.
    """
    # Optuna accepts earlier trials only if they have exactly the numeric keys of the space.
    same = all(isinstance(d.domain, Range) and d.domain.points != 1 and not d.given for d in space.dimensions)
    warm = list(earlier) if same and len(earlier) >= _ENOUGH_TO_WARM else None
    return CmaEsSampler(
        seed=seed,
        sigma0=None if warm else sigma,
        popsize=population,
        source_trials=warm,
        warn_independent_sampling=False,
    )


@dataclass(frozen=True)
class Grid:
    """Every point of the space, the last dimension changing fastest."""

    space: Space

    def point(self, number: int) -> dict[str, Any]:
        """Return the point of a trial."""
        return self.space.all_points[number]


@dataclass(frozen=True)
class Random:
    """Points drawn independently at random."""

    space: Space
    seed: int

    def point(self, number: int) -> dict[str, Any]:
        """Return the point of a trial."""
        random = np.random.default_rng([self.seed, number])
        return self.space.walk(lambda dimension: dimension.domain.at(random.random()))


@dataclass(frozen=True)
class Sobol:
    """Points that fill the space evenly: Sobol's sequence (1967), scrambled after Owen (1998)."""

    space: Space
    seed: int

    def point(self, number: int) -> dict[str, Any]:
        """Return the point of a trial."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space.dimensions), scramble=True, seed=self.seed)
        if number:  # scipy overflows for 0
            sequence.fast_forward(number)
        drawn = sequence.random(1)[0]
        shares = {
            dimension.name: share for dimension, share in zip(self.space.dimensions, drawn, strict=True)
        }
        return self.space.walk(lambda dimension: dimension.domain.at(float(shares[dimension.name])))

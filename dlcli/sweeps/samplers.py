"""The group `sweep/sampler`: what proposes the next point. Optuna is imported only where one of its own is made.

A target gets, by name, what it asks for: `space`, `sweep_seed` (the same for all trials), `seed` (a trial's own, so
that what is proposed depends on the results so far and not on how often the sweep was stopped), and `earlier` (trials
from before the sweep was resumed). Any sampler of Optuna's can be named, in place of one that has no keys of its own:
`sweep/sampler=random sweep.sampler._target_=optuna.samplers.NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Gt

from dlcli.sweeps.dimension import Numbers
from dlcli.sweeps.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from dlcli.sweeps.space import Space

# Fewer trials say too little of where the good ones are (Optuna takes the best tenth).
_ENOUGH_TO_WARM = 20


def grid(space: Space) -> Grid:
    """Every point."""
    from dlcli.errors import ConfigError

    if endless := space.endless:
        raise ConfigError(
            f"a grid cannot hold all numbers of {endless.key}",
            "sweep.sampler",
            f"Write {endless.key}=range(LOW,HIGH,STEP) or a choice, or choose sweep/sampler=random.",
        )
    return Grid(space)


def random(space: Space, sweep_seed: int) -> Random:
    """Points drawn at random."""

    return Random(space, sweep_seed)


def sobol(space: Space, sweep_seed: int) -> Sobol:
    """Points that fill the space evenly."""

    return Sobol(space, sweep_seed)


def tpe(
    seed: int, startup_trials: Annotated[int, Ge(1)] = 10, candidates: Annotated[int, Ge(1)] = 24
) -> BaseSampler:
    """Tree-structured Parzen estimator, multivariate (Bergstra et al., 2011; Falkner et al., 2018).

    Args:
        seed: of this trial.
        startup_trials: drawn at random before it.
        candidates: points among which it takes the most promising one.
    """
    from optuna.samplers import TPESampler

    # Groups let keys that exist only together be judged together.
    return TPESampler(
        seed=seed, n_startup_trials=startup_trials, n_ei_candidates=candidates, multivariate=True, group=True
    )


def gp(seed: int, startup_trials: Annotated[int, Ge(1)] = 10) -> BaseSampler:
    """Gaussian process with expected improvement.

    Args:
        seed: of this trial.
        startup_trials: drawn at random before it.
    """
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=startup_trials)


def cmaes(
    seed: int,
    space: Space,
    earlier: Sequence[FrozenTrial],
    sigma: Annotated[float, Gt(0)] | None = None,
    population: Annotated[int, Ge(2)] | None = None,
) -> BaseSampler:
    """CMA-ES (Hansen and Ostermeier, 2001) for numbers; choices are drawn at random.

    A resumed sweep of nothing but numbers starts it anew where the trials so far were good (Nomura et al., 2021).

    Args:
        seed: of this trial.
        space: what is searched.
        earlier: trials from before the sweep was resumed.
        sigma: how far it looks around at first, as a share of the space; None leaves it to Optuna.
        population: trials of a generation; None leaves it to Optuna.
    """
    from optuna.samplers import CmaEsSampler

    # Optuna takes trials over only where they have the very numbers that it varies.
    same = all(
        isinstance(d.domain, Numbers) and d.domain.points != 1 and not d.given for d in space.dimensions
    )
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
        """The trial's point."""
        return self.space.all_points[number]


@dataclass(frozen=True)
class Random:
    """Each point drawn by itself."""

    space: Space
    seed: int

    def point(self, number: int) -> dict[str, Any]:
        """The trial's point."""
        random = np.random.default_rng([self.seed, number])
        return self.space.walk(lambda dimension: dimension.domain.at(random.random()))


@dataclass(frozen=True)
class Sobol:
    """Points that fill the space evenly: Sobol's sequence (1967), scrambled after Owen (1998)."""

    space: Space
    seed: int

    def point(self, number: int) -> dict[str, Any]:
        """The trial's point."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space.dimensions), scramble=True, seed=self.seed)
        if number:  # of no step at all scipy makes an overflow
            sequence.fast_forward(number)
        drawn = sequence.random(1)[0]
        shares = {
            dimension.name: share for dimension, share in zip(self.space.dimensions, drawn, strict=True)
        }
        return self.space.walk(lambda dimension: dimension.domain.at(float(shares[dimension.name])))

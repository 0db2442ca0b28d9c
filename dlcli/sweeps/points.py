"""Samplers that look at no result: the point of a trial follows from its number alone.

So trials may run in any order and number at once, and a sweep that is resumed or extended goes on with the very points
that it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcli.sweeps.space import Space


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

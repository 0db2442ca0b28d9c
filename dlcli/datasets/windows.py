"""Windows of series: rows that overlap, read by view. However many there are, a series is in memory once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from dlcli.statistics.deviation import deviations

Rows = Sequence[int] | np.ndarray | slice


@dataclass(frozen=True, eq=False)
class Stretches:
    """Where steps follow each other without a break, as those of each of several series do: no window crosses an edge.

    Attributes:
        begins: each one's first step, ascending `(S,)`.
        names: of the series that each is of `(S,)`; empty where there is a single series.
        column: that holds the names.
    """

    begins: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    names: tuple[str, ...] = ()
    column: str = ""

    def of(self, steps: np.ndarray) -> np.ndarray:
        """Which stretch each step lies in."""
        return np.searchsorted(self.begins, steps, side="right") - 1

    def begin(self, steps: np.ndarray) -> np.ndarray:
        """The first step of the stretch that each step lies in."""
        return self.begins[self.of(steps)]

    def series(self, steps: np.ndarray) -> np.ndarray:
        """The name of the series that each step is of."""
        return np.array(self.names, dtype=object)[self.of(steps)]

    def pieces(self) -> tuple[Any, ...]:
        """What makes them what they are, for a fingerprint; nothing where all steps are one stretch."""
        return (self.begins, self.names) if len(self.begins) > 1 else ()


@dataclass(frozen=True, eq=False)
class Windows:
    """Targets of a forecast: row i is the `horizon` steps from `origins[i]` on.

    Looks like an array `(N, horizon, K)`, and makes one where it is asked for by `numpy`.

    Attributes:
        values: of the whole series `(T, K)`, in the user's unit.
        origins: each row's first step to be forecast `(N,)`.
        horizon: steps to forecast.
        times: of all steps `(T,)`.
        stretches: of the steps.
    """

    values: np.ndarray
    origins: np.ndarray
    horizon: int
    times: np.ndarray
    stretches: Stretches = field(default_factory=Stretches)

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, rows: Rows) -> Self:
        return replace(self, origins=self.origins[rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, horizon, K)`."""
        return len(self), self.horizon, self.values.shape[1]

    @property
    def ndim(self) -> int:
        """3."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """That of the values."""
        return self.values.dtype

    def numpy(self) -> np.ndarray:
        """All of them, each in a place of its own, `(N, horizon, K)`."""
        return self.values[self.steps()]

    def steps(self) -> np.ndarray:
        """Positions in the series, `(N, horizon)`."""
        return self.origins[:, None] + np.arange(self.horizon)

    @property
    def series(self) -> np.ndarray:
        """The name of each row's series `(N,)`."""
        return self.stretches.series(self.origins)

    def pieces(self) -> tuple[Any, ...]:
        """What makes them what they are, for a fingerprint."""
        own = self.values, self.origins, self.horizon, self.times.astype(np.int64)
        return *own, *self.stretches.pieces()


@dataclass(frozen=True, eq=False)
class History:
    """What a forecast goes by: row i is the `lookback` steps before `origins[i]`, and what is known of those after it.

    Attributes:
        values: of the whole series `(T, F)`, in the user's unit: targets first, covariates that are known ahead last.
        columns: the F names.
        origins: each row's first step to be forecast `(N,)`.
        lookback: steps that a row looks back on.
        horizon: steps to forecast.
        targets: how many of the first columns are forecast.
        known: of how many of the last columns the values are known as far ahead as the horizon, as of a calendar.
        season: steps after which the series repeats itself, more or less; 1 where it does not.
        stretches: of the steps.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    origins: np.ndarray
    lookback: int
    horizon: int
    targets: int
    known: int = 0
    season: int = 1
    stretches: Stretches = field(default_factory=Stretches)

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, rows: Rows) -> Self:
        return replace(self, origins=self.origins[rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, lookback, F)`."""
        return len(self), self.lookback, self.values.shape[1]

    def covered(self) -> np.ndarray:
        """Which steps `(T,)` some row looks back on or forecasts: what of the series these rows may be measured by."""
        edges = np.zeros(len(self.values) + 1, dtype=np.int64)
        np.add.at(edges, self.origins - self.lookback, 1)
        np.add.at(edges, np.minimum(self.origins + self.horizon, len(self.values)), -1)
        return edges[:-1].cumsum() > 0

    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each column `(F,)` over the steps that are covered, each of them once.

        A column that never changes has deviation 1: its scale is left alone.
        """
        values = self.values[self.covered()]
        return values.mean(axis=0), deviations(values)

    def pieces(self) -> tuple[Any, ...]:
        """What makes it what it is, for a fingerprint."""
        plain = self.columns, self.lookback, self.horizon, self.targets, self.known, self.season
        return self.values, self.origins, plain, *self.stretches.pieces()

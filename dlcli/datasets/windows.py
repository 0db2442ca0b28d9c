"""Overlapping windows of series, which refer to the series instead of copying its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from dlcli.statistics.deviation import deviations

Rows = Sequence[int] | np.ndarray | slice


@dataclass(frozen=True, eq=False)
class Stretches:
    """Contiguous stretches of steps, such as those of several series; no window crosses their borders.

    Attributes:
        begins: first step of each stretch, ascending `(S,)`.
        names: name of each stretch's series `(S,)`; empty if there is a single series.
        column: column of the names.
    """

    begins: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    names: tuple[str, ...] = ()
    column: str = ""

    def of(self, steps: np.ndarray) -> np.ndarray:
        """Return the number of the stretch of each step."""
        return np.searchsorted(self.begins, steps, side="right") - 1

    def begin(self, steps: np.ndarray) -> np.ndarray:
        """Return the first step of the stretch of each step."""
        return self.begins[self.of(steps)]

    def series(self, steps: np.ndarray) -> np.ndarray:
        """Return the name of the series of each step."""
        return np.array(self.names, dtype=object)[self.of(steps)]

    def pieces(self) -> tuple[Any, ...]:
        """Return the values that the fingerprint is computed from; none if there is one stretch."""
        return (self.begins, self.names) if len(self.begins) > 1 else ()


@dataclass(frozen=True, eq=False)
class SeriesRows:
    """Rows of a forecast, which refer to steps of a series.

    Attributes:
        values: values of all steps of the series, `(T, K)` or `(T, F)`, in the user's unit.
        origins: first step to forecast of each row `(N,)`.
        horizon: number of steps to forecast.
        stretches: stretches of the steps.
    """

    values: np.ndarray
    origins: np.ndarray
    horizon: int
    stretches: Stretches = field(default_factory=Stretches, kw_only=True)

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, rows: Rows) -> Self:
        return replace(self, origins=self.origins[rows])


@dataclass(frozen=True, eq=False)
class Windows(SeriesRows):
    """Targets of a forecast, of which row i is the `horizon` steps from `origins[i]` on.

    It has the shape and dtype of an array `(N, horizon, K)`, which `numpy` returns.

    Attributes:
        values: values of all steps of the targets `(T, K)`, in the user's unit.
        times: times of all steps `(T,)`.
    """

    times: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, horizon, K)`."""
        return len(self), self.horizon, self.values.shape[1]

    @property
    def ndim(self) -> int:
        """Number of dimensions, 3."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    def numpy(self) -> np.ndarray:
        """Return a copy of all windows, `(N, horizon, K)`."""
        return self.values[self.steps()]

    def steps(self) -> np.ndarray:
        """Return the positions in the series, `(N, horizon)`."""
        return self.origins[:, None] + np.arange(self.horizon)

    @property
    def series(self) -> np.ndarray:
        """Name of each row's series `(N,)`."""
        return self.stretches.series(self.origins)

    def pieces(self) -> tuple[Any, ...]:
        """Return the values that the fingerprint is computed from."""
        own = self.values, self.origins, self.horizon, self.times.astype(np.int64)
        return *own, *self.stretches.pieces()


@dataclass(frozen=True, eq=False)
class History(SeriesRows):
    """Inputs of a forecast: row i is the `lookback` steps before `origins[i]`, and known covariates of later steps.

    With `min_lookback`, rows near the beginning of a series have fewer steps, but at least that many.

    Attributes:
        values: values of all steps of the series `(T, F)`, in the user's unit: targets first, covariates known ahead
            last.
        columns: names of the F columns.
        lookback: number of history steps of a row.
        targets: number of leading columns that are forecast.
        known: number of trailing columns whose values are known over the horizon, such as those of a calendar.
        season: seasonal period in steps; 1 if there is none.
        min_lookback: minimum number of history steps of a row; None if each row has `lookback` steps.
        business_days: whether the steps are business days, Monday to Friday.
    """

    columns: tuple[str, ...]
    lookback: int
    targets: int
    known: int = 0
    season: int = 1
    min_lookback: int | None = None
    business_days: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, lookback, F)`."""
        return len(self), self.lookback, self.values.shape[1]

    def first_steps(self) -> np.ndarray:
        """Return the first step of each row's history `(N,)`."""
        first = self.origins - self.lookback
        if self.min_lookback is None:
            return first
        # The step before the origin: of new series, the origin may be the first step of the next one.
        return np.maximum(first, self.stretches.begin(self.origins - 1))

    def lengths(self) -> np.ndarray:
        """Return the number of history steps of each row `(N,)`, at most `lookback`."""
        return self.origins - self.first_steps()

    def covered(self) -> np.ndarray:
        """Return a mask `(T,)` of the steps in the lookback or horizon of any row, which statistics are computed on."""
        edges = np.zeros(len(self.values) + 1, dtype=np.int64)
        np.add.at(edges, self.first_steps(), 1)
        np.add.at(edges, np.minimum(self.origins + self.horizon, len(self.values)), -1)
        return edges[:-1].cumsum() > 0

    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of each column `(F,)` over the covered steps, counting each step once.

        The deviation of a constant column is 1.
        """
        values = self.values[self.covered()]
        return values.mean(axis=0), deviations(values)

    def sizes(self) -> np.ndarray:
        """Return the deviation of each series `(S, F)` over its covered steps, in units of that of all series.

        It is NaN for series that are constant or not covered; if all are, it is 1.
        """
        covered = self.covered()
        series, values = self.stretches.of(np.flatnonzero(covered)), self.values[covered]
        found = np.full((len(self.stretches.begins), values.shape[1]), np.nan)
        present, first = np.unique(series, return_index=True)
        for number, steps in zip(present, np.split(values, first[1:]), strict=True):
            constant = (steps == steps[0]).all(axis=0)
            found[number] = np.where(constant, np.nan, steps.std(axis=0))
        found = found / deviations(values)
        return np.where(np.isnan(found).all(axis=0), 1.0, found)

    def pieces(self) -> tuple[Any, ...]:
        """Return the values that the fingerprint is computed from."""
        plain = self.columns, self.lookback, self.horizon, self.targets, self.known, self.season
        short = () if self.min_lookback is None else (self.min_lookback,)
        return self.values, self.origins, plain, *short, *self.stretches.pieces()

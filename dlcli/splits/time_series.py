"""Cross-validation in time: train on the past, hold out what follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, by_time, each_series, ends_before, required_column
from dlcli.splits.folding import Folding


@dataclass(frozen=True)
class TimeSeries(Folding):
    """Folds that follow each other in time; rows of the same point in time are kept together.

    Several series are split separately; fold i consists of fold i of each series. A series with too few points for all
    folds is held out in the last ones.

    Attributes:
        folds: number of held-out periods.
        window: number of points in time to train on before each of them (sliding window); None takes all points before
            it (expanding window).
        gap: number of points in time left out before held-out and validation rows (embargo), for rows whose values
            depend on later points. Rows of a series whose forecasts reach into those rows are always left out.
        test_size: share of the points in time, the last ones, that are in no fold, for the final test.
        val_size: share of a fold's training points, the last ones, used for validation.
    """

    folds: Annotated[int, Ge(2)] = 5
    window: Annotated[int, Ge(1)] | None = None
    gap: Annotated[int, Ge(0)] = 0

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        required_column(data, "times", "a split in time")
        parts = each_series(data, rows)
        series = [self._folds_of(data, one, may_be_short=len(parts) > 1) for one in parts]
        for fold in zip(*series, strict=True):
            train, held_out = (np.concatenate(part) for part in zip(*fold, strict=True))
            yield np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, held_out))

    def _folds_of(
        self, data: Data, rows: np.ndarray, *, may_be_short: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training rows and the held-out rows of each fold of one series.

        A series that is too short for all folds is in the last ones only, if it may be short.
        """
        assert data.times is not None
        times = data.times[rows]
        points, point_of_row = np.unique(times, return_inverse=True)
        size = len(points) // (self.folds + 1)
        if may_be_short and (size < 1 or len(points) - self.gap <= self.folds * size):
            yield from self._last_points(data, rows, points)
            return
        splitter = model_selection.TimeSeriesSplit(self.folds, max_train_size=self.window, gap=self.gap)
        for train, held_out in splitter.split(points):
            past = ends_before(data, points[train], points[held_out[0]])
            yield rows[np.isin(times, past)], rows[np.isin(point_of_row, held_out)]

    def _last_points(
        self, data: Data, rows: np.ndarray, points: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the folds of a short series: none of its rows, and in the last folds one point in time each."""
        assert data.times is not None
        times, held_out = data.times[rows], min(self.folds, max(0, len(points) - self.gap - 1))
        for _ in range(self.folds - held_out):
            yield rows[:0], rows[:0]
        for place in range(len(points) - held_out, len(points)):
            end = place - self.gap
            past = ends_before(data, points[max(0, end - (self.window or end)) : end], points[place])
            yield rows[np.isin(times, past)], rows[times == points[place]]

    def _carver(self, data: Data) -> Carver:
        return by_time(data, self.gap)

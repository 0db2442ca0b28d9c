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

    Several series are split separately; fold i consists of fold i of each series.

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
        series = [self._folds_of(data, one) for one in each_series(data, rows)]
        for fold in zip(*series, strict=True):
            train, held_out = (np.concatenate(part) for part in zip(*fold, strict=True))
            yield np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, held_out))

    def _folds_of(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training rows and the held-out rows of each fold of one series."""
        assert data.times is not None
        times = data.times[rows]
        points, point_of_row = np.unique(times, return_inverse=True)
        splitter = model_selection.TimeSeriesSplit(self.folds, max_train_size=self.window, gap=self.gap)
        for train, held_out in splitter.split(points):
            past = ends_before(data, points[train], points[held_out[0]])
            yield rows[np.isin(times, past)], rows[np.isin(point_of_row, held_out)]

    def _carver(self, data: Data) -> Carver:
        return by_time(data, self.gap)

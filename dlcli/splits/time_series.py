"""Cross-validation in time: train on the past, hold out what comes after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from annotated_types import Ge
from sklearn import model_selection

from dlcli.datasets.data import Data
from dlcli.splits.carving import Carver, Share, by_time, each_series, ends_before, need
from dlcli.splits.folding import Folding


class TimeSeries(Folding):
    """Folds that follow each other in time; rows of the same point in time stay together.

    Of several series, each has folds of its own, and a fold is the same one of all of them.

    Args:
        folds: how many held-out stretches.
        window: points in time to train on before each of them (sliding); null takes all before it (expanding).
        gap: points in time that are left out before held-out and validation rows (embargo), where a row's values reach
            into what comes after it. (Of a series, the steps that its forecasts reach over are left out anyway.)
        test_size: share of the points in time, the last ones, that no fold sees: for the final test.
        val_size: share of a fold's training points, the last ones, that validates.
    """

    def __init__(
        self,
        folds: Annotated[int, Ge(2)] = 5,
        window: Annotated[int, Ge(1)] | None = None,
        gap: Annotated[int, Ge(0)] = 0,
        test_size: Share = 0.0,
        val_size: Share = 0.15,
    ) -> None:
        self.folds = folds
        self.window = window
        self.gap = gap
        self.test_size = test_size
        self.val_size = val_size

    def _folds(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        need(data, "times", "a split in time")
        series = [self._folds_of(data, one) for one in each_series(data, rows)]
        for fold in zip(*series, strict=True):
            train, held_out = (np.concatenate(part) for part in zip(*fold, strict=True))
            yield np.flatnonzero(np.isin(rows, train)), np.flatnonzero(np.isin(rows, held_out))

    def _folds_of(self, data: Data, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows that train and those that are held out, of one series."""
        assert data.times is not None
        times = data.times[rows]
        points, point_of_row = np.unique(times, return_inverse=True)
        splitter = model_selection.TimeSeriesSplit(self.folds, max_train_size=self.window, gap=self.gap)
        for train, held_out in splitter.split(points):
            past = ends_before(data, points[train], points[held_out[0]])
            yield rows[np.isin(times, past)], rows[np.isin(point_of_row, held_out)]

    def _carver(self, data: Data) -> Carver:
        return by_time(data, self.gap)

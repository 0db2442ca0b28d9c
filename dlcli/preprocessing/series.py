"""Series: each column scaled by the training part's statistics, and read as windows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from dlcli.config.suggest import did_you_mean
from dlcli.datasets.windows import History
from dlcli.errors import DataError
from dlcli.preprocessing.windows import KnownAhead, WindowField


class Series(BaseEstimator):
    """Windows of a series to `x`, `(N, lookback, F)`; with covariates known ahead `(N, lookback + horizon, F)`.

    Each column gets mean 0 and deviation 1, measured over the stretch of the series that the training rows cover, each
    step once. The task scales targets in the same way, so that a model may add to its forecast what it has seen.
    """

    def fit(self, x: History) -> Self:
        """Measure the columns."""
        self.columns_ = list(x.columns)
        self.lookback_, self.horizon_ = x.lookback, x.horizon
        self.targets_, self.known_, self.season_ = x.targets, x.known, x.season
        self.mean_, self.std_ = x.scale()
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: History | pd.DataFrame | np.ndarray) -> dict[str, Any]:
        """`x` as a field. The series is scaled once, not each of its windows.

        Raises:
            DataError: raw steps (`history`) are too few, or incomplete.
        """
        if not isinstance(x, History):
            x = self.history(x)
        first = int(x.origins.min()) - x.lookback if len(x) else 0
        last = int(x.origins.max()) + (x.horizon if x.known else 0) if len(x) else 0
        scaled = ((x.values[first:last] - self.mean_) / self.std_).astype(np.float32)
        origins = x.origins - first
        past = WindowField.of(scaled, origins - x.lookback, x.lookback)
        if not x.known:
            return {"x": past}
        return {"x": KnownAhead(past, WindowField.of(scaled[:, -x.known :], origins, x.horizon))}

    def facts(self) -> dict[str, Any]:
        """`lookback` and `horizon`, in steps."""
        return {"lookback": self.lookback_, "horizon": self.horizon_}

    def on_device(self) -> None:
        """Nothing remains to be done."""

    def history(self, steps: pd.DataFrame | np.ndarray) -> History:
        """Raw steps as one row, which forecasts what follows them; other columns are ignored.

        The last `lookback` steps are looked back on. With covariates that are known ahead, `horizon` steps follow, of
        which only these have to be there. An array holds the columns in the order of `columns_`: `(T, F)`, or one such
        block for each row.

        Raises:
            DataError: a column is missing, there are too few steps, or a value is missing.
        """
        if not isinstance(steps, pd.DataFrame):
            return self._rows(np.asarray(steps, dtype=np.float64))
        for column in self.columns_:
            if column not in steps.columns:
                near = did_you_mean(column, map(str, steps.columns))
                raise DataError(f"the forecast needs the column {column}", "new data", near)
        return self._rows(steps[self.columns_].to_numpy(dtype=np.float64)[None])

    def _rows(self, blocks: np.ndarray) -> History:
        blocks = blocks[None] if blocks.ndim == 2 else blocks
        ahead = self.horizon_ if self.known_ else 0
        rows, there, features = blocks.shape
        needed = self.lookback_ + ahead
        if there < needed or features != len(self.columns_):
            what = f"{needed} steps of {len(self.columns_)} columns ({', '.join(self.columns_)})"
            raise DataError(f"a forecast needs {what}; there are {there} of {features}", "new data")
        blocks = blocks[:, there - needed :]
        unknown = np.isnan(blocks)
        if ahead:
            unknown[:, self.lookback_ :, : -self.known_] = False
        if unknown.any():
            row, step, column = np.argwhere(unknown)[0]
            where = f"row {row}, " if rows > 1 else ""
            raise DataError(
                "a value is missing",
                f"new data: {where}step {there - needed + step}, column {self.columns_[column]}",
                "Fill it, such as with the value before it.",
            )
        return History(
            blocks.reshape(rows * needed, features),
            tuple(self.columns_),
            np.arange(rows) * needed + self.lookback_,
            self.lookback_,
            self.horizon_,
            self.targets_,
            self.known_,
            self.season_,
        )

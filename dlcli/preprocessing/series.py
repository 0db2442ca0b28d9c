"""Series: each column scaled by the training part's statistics, and read as windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn import functional

from dlcli.datasets.tables.columns import as_categories, named
from dlcli.datasets.windows import History, Stretches
from dlcli.errors import DataError
from dlcli.preprocessing.new_rows import blocks, numbers
from dlcli.preprocessing.windows import KnownAhead, WindowField


class Series(BaseEstimator):
    """Windows of a series to `x`, `(N, lookback, F)`; with covariates known ahead `(N, lookback + horizon, F)`.

    Each column gets mean 0 and deviation 1, measured over the stretch of the series that the training rows cover, each
    step once. The task scales targets in the same way: `on_device` adds to forecasts what it has taken off the history.

    Args:
        relative: the model sees each window less its last values, and they are added to its forecast.
    """

    def __init__(self, relative: bool = True) -> None:
        self.relative = relative

    def fit(self, x: History) -> Self:
        """Measure the columns."""
        self.columns_ = list(x.columns)
        self.lookback_, self.horizon_ = x.lookback, x.horizon
        self.targets_, self.known_, self.season_ = x.targets, x.known, x.season
        self.id_ = x.stretches.column
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

    def on_device(self) -> nn.Module | None:
        """With `relative`, what takes each window's level off, and adds it to the forecast."""
        return LastLevel(self.lookback_, self.targets_, self.known_) if self.relative else None

    def history(self, steps: pd.DataFrame | np.ndarray) -> History:
        """Raw steps as one row, which forecasts what follows them; other columns are ignored.

        With the column that names series there is a row for each of them, in the order in which they begin.

        The last `lookback` steps are looked back on. With covariates that are known ahead, `horizon` steps follow, of
        which only these have to be there. An array holds the columns in the order of `columns_`: `(T, F)`, or one such
        block for each row.

        Raises:
            DataError: a column is missing, there are too few steps, or a value is missing or no number.
        """
        if not isinstance(steps, pd.DataFrame):
            return self._rows(blocks(steps, self.columns_))
        steps = named(steps, [*self.columns_, *filter(None, [self.id_])])
        values = numbers(steps, self.columns_, _step)
        if not self.id_ or self.id_ not in steps:
            return self._rows([values])
        codes, names = pd.factorize(as_categories(steps[self.id_]))
        return self._rows([values[codes == code] for code in range(len(names))], list(names))

    def _rows(self, series: Sequence[np.ndarray] | np.ndarray, names: Sequence[str] = ()) -> History:
        """Rows out of the steps `(T, F)` of each."""
        ahead = self.horizon_ if self.known_ else 0
        needed, features = self.lookback_ + ahead, len(self.columns_)

        def place(row: int, *at: str) -> str:
            which = [f"series {names[row]}"] if names else [f"row {row}"] if len(series) > 1 else []
            return ": ".join(filter(None, ["new data", ", ".join([*which, *at])]))

        for row, steps in enumerate(series):
            if len(steps) < needed:
                what = f"{needed} steps of {features} columns ({', '.join(self.columns_)})"
                there = f"there are {len(steps)} of {features}"
                raise DataError(f"a forecast needs {what}; {there}", place(row))
        values = np.stack([steps[len(steps) - needed :] for steps in series])
        unknown = np.isnan(values)
        if ahead:
            unknown[:, self.lookback_ :, : -self.known_] = False
        if unknown.any():
            row, step, column = np.argwhere(unknown)[0]
            behind = len(series[row]) - needed + step
            raise DataError(
                "a value is missing",
                place(row, f"step {behind}", f"column {self.columns_[column]}"),
                "Fill it, such as with the value before it.",
            )
        begins = np.arange(len(series)) * needed
        return History(
            values.reshape(-1, features),
            tuple(self.columns_),
            begins + self.lookback_,
            self.lookback_,
            self.horizon_,
            self.targets_,
            self.known_,
            self.season_,
            Stretches(begins),
        )


def _step(row: int, column: str) -> str:
    return f"new data: step {row}, column {column}"


class LastLevel(nn.Module):
    """Windows `(N, T, F)` less their last values (Zeng et al., 2023), and forecasts with them added again.

    Args:
        lookback: steps of a window that are history.
        targets: how many of the first columns are forecast.
        known: how many of the last columns are known ahead: those stay as they are.
    """

    def __init__(self, lookback: int, targets: int, known: int) -> None:
        super().__init__()
        self.lookback = lookback
        self.targets = targets
        self.known = known

    def forward(self, x: Tensor) -> Tensor:
        """The windows, each column but those known ahead ending its history at 0."""
        past = x[:, : self.lookback] - self._level(x)
        return torch.cat([past, x[:, self.lookback :]], dim=1) if self.known else past

    def restore(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Outputs `(N, horizon * K)`, raised to the level of the windows that they came of."""
        level = self._level(x)[:, :, : self.targets]
        return (outputs.reshape(x.shape[0], -1, self.targets) + level).flatten(1)

    def _level(self, x: Tensor) -> Tensor:
        last = x[:, self.lookback - 1 : self.lookback, : x.shape[2] - self.known]
        return functional.pad(last, (0, self.known))

"""Preprocessing of series: columns scaled by statistics of the training part, read as windows."""

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
from dlcli.formatting import counted
from dlcli.preprocessing.new_rows import blocks, numbers
from dlcli.preprocessing.windows import KnownAhead, WindowField


class Series(BaseEstimator):
    """Converts a series to windows `x` `(N, lookback, F)`, with covariates known ahead `(N, lookback + horizon, F)`.

    Each column is scaled to mean 0 and deviation 1 over the part of the series that the training rows cover, counting
    each step once. The task scales targets in the same way, so the level that `on_device` subtracts from the history
    can be added to the forecasts.

    Args:
        relative: subtract the last values of each window from the window, and add them to the forecast.
    """

    def __init__(self, relative: bool = True) -> None:
        self.relative = relative

    def fit(self, x: History) -> Self:
        """Compute mean and deviation of each column."""
        self.columns_ = list(x.columns)
        self.lookback_, self.horizon_ = x.lookback, x.horizon
        self.targets_, self.known_, self.season_ = x.targets, x.known, x.season
        self.id_ = x.stretches.column
        self.mean_, self.std_ = x.scale()
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: History | pd.DataFrame | np.ndarray) -> dict[str, Any]:
        """Return `x` as a field; the series is scaled once, not each of its windows.

        Raises:
            DataError: raw steps (see `history`) are too few or incomplete.
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
        """Return `lookback` and `horizon` in steps."""
        return {"lookback": self.lookback_, "horizon": self.horizon_}

    def on_device(self) -> nn.Module | None:
        """Return, if `relative`, a module that subtracts each window's level and adds it to the forecast."""
        return LastLevel(self.lookback_, self.targets_, self.known_) if self.relative else None

    def history(self, steps: pd.DataFrame | np.ndarray) -> History:
        """Convert raw steps to one row, whose forecast starts after them; other columns are ignored.

        If the table has the column of series names, there is one row per series, in the order of their first step.

        The input of the model are the last `lookback` steps. With covariates known ahead, `horizon` further steps must
        follow, with values for those covariates only. An array has the columns in the order of `columns_`: `(T, F)`, or
        one such block per row.

        Raises:
            DataError: a column is missing, there are too few steps, or a value is missing or not a number.
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
        """Build rows from the steps `(T, F)` of each series."""
        ahead = self.horizon_ if self.known_ else 0
        needed, features = self.lookback_ + ahead, len(self.columns_)

        def place(row: int, *details: str) -> str:
            which = [f"series {names[row]}"] if names else [f"row {row}"] if len(series) > 1 else []
            return ": ".join(filter(None, ["new data", ", ".join([*which, *details])]))

        for row, steps in enumerate(series):
            if len(steps) < needed:
                expected = f"{needed} steps of {features} columns ({', '.join(self.columns_)})"
                raise DataError(
                    f"a forecast needs {expected}, but got {counted(len(steps), 'step')}", place(row)
                )
        values = np.stack([steps[len(steps) - needed :] for steps in series])
        unknown = np.isnan(values)
        if ahead:
            unknown[:, self.lookback_ :, : -self.known_] = False
        if unknown.any():
            row, step, column = np.argwhere(unknown)[0]
            number = len(series[row]) - needed + step
            raise DataError(
                "a value is missing",
                place(row, f"step {number}", f"column {self.columns_[column]}"),
                "Fill it in, such as with the previous value.",
            )
        begins = np.arange(len(series)) * needed
        return History(
            values.reshape(-1, features),
            begins + self.lookback_,
            self.horizon_,
            tuple(self.columns_),
            self.lookback_,
            self.targets_,
            self.known_,
            self.season_,
            stretches=Stretches(begins),
        )


def _step(row: int, column: str) -> str:
    return f"new data: step {row}, column {column}"


class LastLevel(nn.Module):
    """Subtracts the last values from windows `(N, T, F)` and adds them to the forecasts (Zeng et al., 2023).

    Args:
        lookback: number of history steps in a window.
        targets: number of leading columns that are forecast.
        known: number of trailing columns that are known ahead, which are left unchanged.
    """

    def __init__(self, lookback: int, targets: int, known: int) -> None:
        super().__init__()
        self.lookback = lookback
        self.targets = targets
        self.known = known

    def forward(self, x: Tensor) -> Tensor:
        """Return the windows shifted so that the history of each column ends at 0, except columns known ahead."""
        past = x[:, : self.lookback] - self._level(x)
        return torch.cat([past, x[:, self.lookback :]], dim=1) if self.known else past

    def restore(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Return the outputs `(N, horizon * K)` plus the level of their windows."""
        level = self._level(x)[:, :, : self.targets]
        return (outputs.reshape(x.shape[0], -1, self.targets) + level).flatten(1)

    def _level(self, x: Tensor) -> Tensor:
        last = x[:, self.lookback - 1 : self.lookback, : x.shape[2] - self.known]
        return functional.pad(last, (0, self.known))

"""Forecast: the next steps of one or several series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric

from dlcli.datasets.windows import History, Windows
from dlcli.preprocessing.windows import WindowField
from dlcli.tasks import metrics as own
from dlcli.tasks.base import Task
from dlcli.tasks.naive import naive_forecast


class Forecast(Task):
    """Outputs `(N, horizon * K)`, step by step, and targets `(N, horizon, K)`.

    The model learns targets with mean 0 and deviation 1, scaled as the history that it looks back on. Metrics are the
    mean over steps and targets, in the user's own unit.

    Args:
        targets: the columns' names.
        target_mean: of each column, over the training part of the series, in the user's unit.
        target_std: likewise.
        horizon: steps to forecast.
        season: steps after which the series repeats itself.
        naive_error: mean absolute error of the seasonal-naive forecast over the training part, of each column.
        loss: takes outputs and targets, both `(N, horizon * K)`, returns the mean.
        scaled_metrics: count errors in deviations of each target, as the literature does for several variables.
    """

    kind: ClassVar = "regression"
    accepts: ClassVar = {"forecast"}
    metric_names = ("mae", "rmse", "mse", "mase")
    epoch_metrics = metric_names
    _unit: Tensor

    def __init__(
        self,
        targets: Sequence[str],
        target_mean: Sequence[float],
        target_std: Sequence[float],
        horizon: int,
        season: int,
        naive_error: Sequence[float],
        loss: nn.Module,
        scaled_metrics: bool = False,
    ) -> None:
        super().__init__()
        self.names = tuple(targets)
        self.horizon = horizon
        self.season = season
        self.num_outputs = horizon * len(self.names)
        self.criterion = loss
        self._mean, self._std = np.array(target_mean), np.array(target_std)
        # What a deviation counts in metrics and figures.
        self._counts = np.ones_like(self._std) if scaled_metrics else self._std
        self._naive_error = np.array(naive_error) / self._std * self._counts
        self.register_buffer("_unit", torch.tensor(self._counts, dtype=torch.float32), persistent=False)

    def encode(self, y: Windows) -> WindowField:
        """Scaled targets `(N, horizon, K)`, windows of a series that is scaled once."""
        first = int(y.origins.min()) if len(y) else 0
        last = int(y.origins.max()) + y.horizon if len(y) else 0
        scaled = ((y.values[first:last] - self._mean) / self._std).astype(np.float32)
        return WindowField.of(scaled, y.origins - first, y.horizon)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss of scaled targets."""
        return self.criterion(outputs.reshape(len(y), -1), y.reshape(len(y), -1))

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Steps of all rows `(N * horizon, K)`, less the mean, which would cost precision."""
        return tuple(values.reshape(-1, len(self.names)) * self._unit for values in (outputs, y))  # type: ignore[return-value]

    def metrics(self) -> dict[str, Metric]:
        """Errors in the user's unit or in deviations; `mase` as a multiple of the seasonal-naive forecast's."""
        return {
            "mae": MeanAbsoluteError(),
            "rmse": MeanSquaredError(squared=False, num_outputs=len(self.names)),
            "mse": MeanSquaredError(),
            "mase": own.MASE(torch.tensor(self._naive_error, dtype=torch.float32)),
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """The mean of the training part."""
        return self, torch.zeros(self.num_outputs)

    def guesses(self, x: History) -> dict[str, tuple[Task, Tensor]]:
        """The last season again, and as `naive` the last value again; that one alone where there is no season."""
        guesses = {"": naive_forecast(x, self.season)}
        if self.season > 1:
            guesses["naive"] = naive_forecast(x)
        return {name: (self, self._outputs(values)) for name, values in guesses.items()}

    def guess_words(self) -> dict[str, str]:
        """What each of them repeats."""
        words = {"": f"the values of {self.season} steps ago" if self.season > 1 else "the last value"}
        return words | ({"naive": "the last value"} if self.season > 1 else {})

    def _outputs(self, values: np.ndarray) -> Tensor:
        scaled = (values - self._mean) / self._std
        return torch.from_numpy(scaled.astype(np.float32)).reshape(len(values), -1)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """`step` (1 is the first) and `prediction(TARGET)`: one line a step of each row."""
        values = self._values(outputs)
        steps = {"step": np.tile(np.arange(1, self.horizon + 1), len(values))}
        return pd.DataFrame(steps).join(self._table("prediction", values))

    def targets(self, y: Windows) -> pd.DataFrame:
        """`series` where there are several, `time` and `target(TARGET)`: one line a step of each row."""
        names = {"series": np.repeat(y.series, self.horizon)} if y.stretches.names else {}
        when = pd.DataFrame({**names, "time": y.times[y.steps()].reshape(-1)})
        return when.join(self._table("target", y.numpy()))

    def describe(self) -> str:
        """Such as `forecast of OT, 96 steps, loss MSE, beside that of 24 steps ago`."""
        names = ", ".join(self.names) if len(self.names) <= 5 else f"{len(self.names)} targets"
        beside = self.guess_words()[""]
        return f"forecast of {names}, {self.horizon} steps, loss {type(self.criterion).__name__}, beside {beside}"

    def breakdown(self, outputs: Tensor, y: Windows) -> pd.DataFrame:
        """The errors of each step of each target."""
        error = (self._values(outputs) - y.numpy()) / self._std * self._counts
        mae = np.abs(error).mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mase = np.where(self._naive_error > 0, mae / self._naive_error, np.nan)
        return pd.DataFrame(
            {
                "target": np.tile(self.names, self.horizon),
                "step": np.repeat(np.arange(1, self.horizon + 1), len(self.names)),
                "rows": len(y),
                "mae": mae.reshape(-1),
                "rmse": np.sqrt((error**2).mean(axis=0)).reshape(-1),
                "mase": mase.reshape(-1),
            }
        )

    def pictures(self, outputs: Tensor, y: Windows) -> Iterator[tuple[str, Figure]]:
        """Forecasts beside what came, and the error by the step that is forecast."""
        from dlcli.reports import forecast_plots as forecast

        predicted = self._values(outputs)
        yield "forecast", forecast.forecasts(y, predicted, self.names)
        error = np.abs(predicted - y.numpy()).mean(axis=0) / self._std
        yield "error_by_step", forecast.error_by_step(error, self.names)

    def _values(self, outputs: Tensor) -> np.ndarray:
        """Outputs in the user's unit, `(N, horizon, K)`."""
        scaled = outputs.double().cpu().numpy().reshape(len(outputs), self.horizon, len(self.names))
        return scaled * self._std + self._mean

    def _table(self, what: str, values: np.ndarray) -> pd.DataFrame:
        names = [what] if len(self.names) == 1 else [f"{what}({name})" for name in self.names]
        return pd.DataFrame(values.reshape(-1, len(names)), columns=names)

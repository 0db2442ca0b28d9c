"""Forecasting the next steps of one or several series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dlcli.datasets.windows import History, Windows
from dlcli.preprocessing.windows import WindowField
from dlcli.tasks import number_metrics as own
from dlcli.tasks.base import Task
from dlcli.tasks.facts import naive_forecast
from dlcli.tasks.metric import AnyMetric

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Forecast(Task):
    """Forecast with outputs `(N, horizon * K)`, step by step, and targets `(N, horizon, K)`.

    Targets are standardized for training with the same statistics as the input history. Metrics are the mean over
    steps and targets, in the user's own unit.

    Args:
        targets: names of the target columns.
        target_mean: mean of each column over the training part of the series, in the user's unit.
        target_std: standard deviation of each column over the training part, in the user's unit.
        horizon: number of steps to forecast.
        season: length of the seasonal period in steps.
        naive_error: mean absolute error of the seasonal-naive forecast of each column over the training part.
        loss: takes outputs and targets, both `(N, horizon * K)`, returns the mean.
        scaled_metrics: report errors in standard deviations of each target, as is common in the literature for several
            variables.
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
        # The value of one standard deviation in metrics: 1, or the deviation in the user's unit.
        self._counts = np.ones_like(self._std) if scaled_metrics else self._std
        self._naive_error = np.array(naive_error) / self._std * self._counts
        self.register_buffer("_unit", torch.tensor(self._counts, dtype=torch.float32), persistent=False)

    def encode(self, y: Windows) -> WindowField:
        """Return the scaled targets `(N, horizon, K)` as windows of a series that is scaled once."""
        first = int(y.origins.min()) if len(y) else 0
        last = int(y.origins.max()) + y.horizon if len(y) else 0
        scaled = ((y.values[first:last] - self._mean) / self._std).astype(np.float32)
        return WindowField.of(scaled, y.origins - first, y.horizon)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of the scaled targets."""
        return self.criterion(outputs.reshape(len(y), -1), y.reshape(len(y), -1))

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and targets of all steps `(N * horizon, K)`.

        The mean is left subtracted: adding it would cost precision.
        """
        return tuple(values.reshape(-1, len(self.names)) * self._unit for values in (outputs, y))  # type: ignore[return-value]

    def metrics(self) -> dict[str, AnyMetric]:
        """Return errors in the user's unit or in deviations; `mase` is relative to the seasonal-naive forecast."""
        return {
            "mae": own.AbsoluteError(),
            "rmse": own.SquaredError(len(self.names), root=True),
            "mse": own.SquaredError(len(self.names)),
            "mase": own.MASE(torch.tensor(self._naive_error, dtype=torch.float32)),
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the mean of the training part."""
        return self, torch.zeros(self.num_outputs)

    def baselines(self, x: History) -> dict[str, tuple[Task, Tensor]]:
        """Return the seasonal-naive forecast and, as `naive`, the last value; without a season only the last value."""
        forecasts = {"": naive_forecast(x, self.season)}
        if self.season > 1:
            forecasts["naive"] = naive_forecast(x)
        return {name: (self, self._outputs(values)) for name, values in forecasts.items()}

    def baseline_descriptions(self) -> dict[str, str]:
        """Return what each of the `baselines` repeats."""
        if self.season > 1:
            return {"": f"the values of {self.season} steps ago", "naive": "the last value"}
        return {"": "the last value"}

    def _outputs(self, values: np.ndarray) -> Tensor:
        scaled = (values - self._mean) / self._std
        return torch.from_numpy(scaled.astype(np.float32)).reshape(len(values), -1)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the columns `step` (1 is the first) and `prediction(TARGET)`, one line per row and step."""
        values = self._values(outputs)
        steps = {"step": np.tile(np.arange(1, self.horizon + 1), len(values))}
        return pd.DataFrame(steps).join(self._table("prediction", values))

    def targets(self, y: Windows) -> pd.DataFrame:
        """Return `series` (if there are several), `time` and `target(TARGET)`, one line per row and step."""
        names = {"series": np.repeat(y.series, self.horizon)} if y.stretches.names else {}
        when = pd.DataFrame({**names, "time": y.times[y.steps()].reshape(-1)})
        return when.join(self._table("target", y.numpy()))

    def describe(self) -> str:
        """Return such as `forecast of OT, 96 steps, loss MSE, baseline: the values of 24 steps ago`."""
        names = ", ".join(self.names) if len(self.names) <= 5 else f"{len(self.names)} targets"
        baseline = self.baseline_descriptions()[""]
        return f"forecast of {names}, {self.horizon} steps, loss {type(self.criterion).__name__}, baseline: {baseline}"

    def breakdown(self, outputs: Tensor, y: Windows) -> pd.DataFrame:
        """Return the errors of each step of each target."""
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
        """Yield forecasts next to the actual values, and the error per forecast step."""
        from dlcli.reports import forecast_plots  # a prediction needs no matplotlib

        predicted = self._values(outputs)
        yield "forecast", forecast_plots.forecasts(y, predicted, self.names)
        error = np.abs(predicted - y.numpy()).mean(axis=0) / self._std
        yield "error_by_step", forecast_plots.error_by_step(error, self.names)

    def _values(self, outputs: Tensor) -> np.ndarray:
        """Return the outputs in the user's unit, `(N, horizon, K)`."""
        scaled = outputs.double().cpu().numpy().reshape(len(outputs), self.horizon, len(self.names))
        return scaled * self._std + self._mean

    def _table(self, what: str, values: np.ndarray) -> pd.DataFrame:
        names = [what] if len(self.names) == 1 else [f"{what}({name})" for name in self.names]
        return pd.DataFrame(values.reshape(-1, len(names)), columns=names)

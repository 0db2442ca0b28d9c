"""Forecasting the next steps of one or several series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dlcli.datasets.windows import History, Windows
from dlcli.preprocessing.window_fields import WindowField
from dlcli.tasks.base import Coverage, Task
from dlcli.tasks.facts import level_before, naive_error_before, naive_forecast
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.number_metrics import scale_and_shift, scaled_errors
from dlcli.tasks.quantiles import table_of_quantiles
from dlcli.tasks.scaled_windows import ScaledWindows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Units of a row's series, in the order in which they are appended to its targets.
_UNITS = ("naive", "level")

# Minimum naive error in the loss, as a share of the series' level: the naive error of an almost constant series is
# rounding noise, and relative to it every forecast error would be huge.
_LEAST_SHARE = 1e-4


class Forecast(Task):
    """Forecast with outputs `(N, horizon * K)`, step by step, and targets `(N, horizon, K)`.

    Targets are standardized for training with the same statistics as the input history. Metrics are the mean over
    steps and targets, in the user's own unit. A loss of Q quantiles has outputs `(N, horizon * K * Q)`; the median is
    the prediction, and crossing quantiles are sorted.

    If there are several series, `mase` is the mean over rows of errors in units of the seasonal-naive error of the
    row's series, over all steps before the forecast.

    Args:
        targets: names of the target columns.
        target_mean: mean of each column over the training part of the series, in the user's unit.
        target_std: standard deviation of each column over the training part, in the user's unit.
        horizon: number of steps to forecast.
        season: length of the seasonal period in steps.
        naive_error: mean absolute error of the seasonal-naive forecast of each column over the training part.
        loss: maps outputs and targets `(N, horizon * K)` to the mean. A loss of quantiles has the attribute
            `quantiles`, their levels.
        naive_quantiles: quantiles of the error of the seasonal-naive forecast over the training part, at equally spaced
            levels from 0 to 1, `(K, L)`, added to that forecast by the baseline of a loss of quantiles.
        several_series: whether there are several series.
        relative_quantiles: the same as `naive_quantiles` in units of each series' own naive error, used by the baseline
            if there are several series.
        scaled_metrics: whether errors are reported in standard deviations of each target, as is common in the
            literature for several variables.
        scale_loss: unit of each row's loss: `none`, one deviation of all series; `naive`, the seasonal-naive error of
            the row's series, as in `mase`, but at least 1e-4 of its level; `level`, the mean absolute value of its
            series, as in `smape`. Both are computed over the steps before the forecast. None is `naive` if there are
            several series, else `none`. Runs of earlier versions lack this key, and their loss is that of `none`.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        coverage: share of rows that prediction intervals are to cover, calibrated on validation rows and measured on
            test rows; None to measure nothing.
    """

    kind: ClassVar = "regression"
    accepts: ClassVar = {"forecast"}
    learns_quantiles: ClassVar = True
    in_sequence: ClassVar = True
    default_metrics = ("mae", "rmse", "mse", "mase", "smape")
    quantile_metrics = ("pinball", "coverage", "interval_width")
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
        naive_quantiles: Sequence[Sequence[float]] | None = None,
        several_series: bool = False,
        relative_quantiles: Sequence[Sequence[float]] | None = None,
        scaled_metrics: bool = False,
        scale_loss: Literal["none", "naive", "level"] | None = "none",
        metrics: Sequence[str | MetricChoice] = ("default",),
        coverage: Coverage | None = None,
    ) -> None:
        super().__init__()
        self.coverage = coverage
        self.names = tuple(targets)
        self.horizon = horizon
        self.season = season
        self.criterion = loss
        levels = tuple(getattr(loss, "quantiles", ()))
        # A single quantile is the prediction itself and gives no interval.
        self.quantiles = levels if len(levels) > 1 else ()
        self.num_outputs = horizon * len(self.names) * max(1, len(self.quantiles))
        self.choose(metrics, self.quantiles)
        self.several = several_series
        self.scale_loss = scale_loss or ("naive" if several_series else "none")
        self._mean, self._std = np.array(target_mean), np.array(target_std)
        # The value of one standard deviation in metrics: 1, or the deviation in the user's unit.
        self._counts = np.ones_like(self._std) if scaled_metrics else self._std
        self._naive_error = np.array(naive_error) / self._std * self._counts
        self._relative = relative_quantiles is not None
        quantiles = np.array(relative_quantiles or naive_quantiles or np.zeros((len(self.names), 2)).tolist())
        # Around their median, so that the baseline's prediction is the seasonal-naive forecast itself.
        spread = [np.interp((*levels, 0.5), np.linspace(0, 1, len(one)), one) for one in quantiles]
        self._spread = np.stack(spread)[:, :-1] - np.stack(spread)[:, -1:]
        self.register_buffer("_unit", torch.tensor(self._counts, dtype=torch.float32), persistent=False)

    def encode(self, y: Windows) -> WindowField | ScaledWindows:
        """Return the scaled targets `(N, horizon, K)` as windows of a series that is scaled once.

        With several series, or a scaled loss, each row is followed by the naive error and the level of its series.
        """
        first = int(y.origins.min()) if len(y) else 0
        last = int(y.origins.max()) + y.horizon if len(y) else 0
        scaled = ((y.values[first:last] - self._mean) / self._std).astype(np.float32)
        windows = WindowField.of(scaled, y.origins - first, y.horizon)
        if not self._has_units:
            return windows
        units = np.stack([naive_error_before(y, self.season), level_before(y)], axis=1) / self._std
        return ScaledWindows(windows, torch.from_numpy(units.astype(np.float32)))

    @property
    def _has_units(self) -> bool:
        return self.several or self.scale_loss != "none"

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of the scaled targets."""
        steps = y[:, : self.horizon]
        outputs = outputs.reshape(*steps.shape, -1)
        if self.scale_loss != "none":
            position = self.horizon + _UNITS.index(self.scale_loss)
            unit = y[:, position : position + 1]
            if self.scale_loss == "naive":
                level = y[:, position + 1 : position + 2]
                unit = torch.where(unit > 0, torch.maximum(unit, _LEAST_SHARE * level), unit)
            # The unit of a series without a naive error, such as a constant one, is the standard deviation of all
            # series.
            unit = torch.where(unit > 0, unit, 1.0)
            steps, outputs = steps / unit, outputs / unit.unsqueeze(-1)
        return self.criterion(outputs.flatten(1), steps.flatten(1))

    def converted(self, outputs: Tensor, source: Task) -> Tensor:
        """Return sorted quantiles in standard deviations of this task, `(N, horizon * K * Q)`."""
        assert isinstance(source, Forecast)
        scale, shift = scale_and_shift(source._std, source._mean, self._std, self._mean)
        return (source._sorted(outputs) * scale.to(outputs.device) + shift.to(outputs.device)).reshape(
            -1, self.num_outputs
        )

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and targets of all steps `(N * horizon, K)`.

        The mean is left subtracted: adding it would cost precision.
        """
        steps = y[:, : self.horizon].reshape(-1, len(self.names))
        return self._sorted(outputs)[..., self._point] * self._unit, steps * self._unit

    def metric_kwargs(self, outputs: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return the units of the rows' series `(N * horizon, K)`, and all quantiles `(N * horizon, K, Q)`."""
        found = {}
        if self._has_units:
            units = (
                y[:, self.horizon : self.horizon + 1]
                .expand(-1, self.horizon, -1)
                .reshape(-1, len(self.names))
            )
            found["naive_error"] = units * self._unit
        if self.quantiles:
            found["quantiles"] = self._sorted(outputs) * self._unit.unsqueeze(-1)
        return found

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take; errors are in the user's unit, or in deviations."""
        offset = torch.tensor(self._mean / self._std * self._counts)
        return {
            "task": "regression",
            "num_outputs": len(self.names),
            "targets": self.names,
            "around": torch.zeros(len(self.names)),
            "offset": offset,
            "deviation": torch.tensor(self._counts),
            "levels": self.quantiles,
            "naive_error": torch.tensor(self._naive_error, dtype=torch.float32),
            "several_series": self.several,
        }

    def scales(self) -> dict[str, dict[str, Any]]:
        """Return the scales; with several series, the unit of `mase` differs from that of earlier versions."""
        found = super().scales()
        if self.several and "mase" in found:
            found["mase"]["unit"] = "the naive error of each series before the forecast"
        return found

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the mean of the training part."""
        return self, torch.zeros(self.num_outputs)

    def baselines(
        self, x: History, kept: Tensor | None = None, y: Any = None
    ) -> dict[str, tuple[Task, Tensor]]:
        """Return the seasonal-naive forecast and, as `naive`, the last value; without a season only the last value."""
        forecasts = {"": naive_forecast(x, self.season)}
        if self.season > 1:
            forecasts["naive"] = naive_forecast(x)
        return {name: (self, self._outputs(values, x)) for name, values in forecasts.items()}

    def baseline_descriptions(self) -> dict[str, str]:
        """Return descriptions of the `baselines`."""
        if self.season > 1:
            return {"": f"the values of {self.season} steps ago", "naive": "the last value"}
        return {"": "the last value"}

    def _outputs(self, values: np.ndarray, x: History) -> Tensor:
        """Return the outputs of a point forecast `(N, horizon, K)` in the user's unit.

        Quantiles are those of the change from one season to the next around its median, which widen with the root of
        the number of seasons ahead (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition,
        section 5.5).
        """
        values = values[..., None]
        if self.quantiles:
            seasons = np.sqrt(np.arange(self.horizon) // self.season + 1)
            values = values + seasons[:, None, None] * self._spread * self._spread_unit(x)
        scaled = (values - self._mean[:, None]) / self._std[:, None]
        return torch.from_numpy(scaled.astype(np.float32)).reshape(len(values), -1)

    def _spread_unit(self, x: History) -> np.ndarray:
        """Return the unit of the quantiles in the user's unit, broadcastable to `(N, horizon, K, Q)`."""
        if not self._relative:
            return np.ones(1)
        own = naive_error_before(x, self.season)[:, : x.targets]
        of_all = self._naive_error / self._counts * self._std
        return np.where(np.isnan(own), of_all, own)[:, None, :, None]

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the columns `step` (1 is the first) and `prediction(TARGET)`, one line per row and step.

        With several quantiles, columns such as `q0.1` or `q0.1(TARGET)` follow.
        """
        values = self._values(outputs)
        steps = {"step": np.tile(np.arange(1, self.horizon + 1), len(values))}
        tables = [self._table("prediction", values[..., self._point])]
        tables += [self._table(f"q{level:g}", values[..., i]) for i, level in enumerate(self.quantiles)]
        return pd.concat([pd.DataFrame(steps), *tables], axis=1)

    def targets(self, y: Windows) -> pd.DataFrame:
        """Return `series` (if there are several), `time` and `target(TARGET)`, one line per row and step."""
        names = {"series": np.repeat(y.series, self.horizon)} if y.stretches.names else {}
        when = pd.DataFrame({**names, "time": y.times[y.steps()].reshape(-1)})
        return when.join(self._table("target", y.numpy()))

    def describe(self) -> str:
        """Return a description such as `forecast of OT, 96 steps, loss MSE, baseline: the values of 24 steps ago`."""
        names = ", ".join(self.names) if len(self.names) <= 5 else f"{len(self.names)} targets"
        quantiles = f" of {', '.join(f'{level:g}' for level in self.quantiles)}" if self.quantiles else ""
        units = {
            "none": "",
            "naive": " in units of each series' naive error",
            "level": " in shares of each series' level",
        }
        loss = f"{type(self.criterion).__name__}{quantiles}{units[self.scale_loss]}"
        return f"forecast of {names}, {self.horizon} steps, loss {loss}, baseline: {self.baseline_descriptions()['']}"

    def breakdown(self, outputs: Tensor, y: Windows) -> pd.DataFrame:
        """Return the errors of each step of each target, and the metrics of its quantiles."""
        values, steps = self._values(outputs), y.numpy()
        error = (values[..., self._point] - steps) / self._std * self._counts
        naive = self._naive_error
        if self.several:
            naive = (naive_error_before(y, self.season) / self._std * self._counts)[:, None]
        mase = scaled_errors(torch.from_numpy(error), torch.from_numpy(naive)).nanmean(dim=0).numpy()
        unit = self._counts / self._std  # of the metrics
        quantiles = (
            table_of_quantiles(values * unit[:, None], steps * unit, self.quantiles) if self.quantiles else {}
        )
        return pd.DataFrame(
            {
                "target": np.tile(self.names, self.horizon),
                "step": np.repeat(np.arange(1, self.horizon + 1), len(self.names)),
                "rows": len(y),
                "mae": np.abs(error).mean(axis=0).reshape(-1),
                "rmse": np.sqrt((error**2).mean(axis=0)).reshape(-1),
                "mase": mase.reshape(-1),
                **{name: column.reshape(-1) for name, column in quantiles.items()},
            }
        )

    def pictures(self, outputs: Tensor, y: Windows) -> Iterator[tuple[str, Figure]]:
        """Yield forecasts next to the actual values, those that follow each other and one of them, and the error per
        forecast step."""
        from dlcli.reports import forecast_plots  # a prediction needs no matplotlib

        values = self._values(outputs)
        predicted = values[..., self._point]
        bands = (values, self.quantiles) if self.quantiles else None
        is_rolling = forecast_plots.following_rows(y, len(y) // 2)[1] > 1
        yield "forecast", forecast_plots.forecasts(y, predicted, self.names, bands, rolling=is_rolling)
        if is_rolling:
            yield "one_forecast", forecast_plots.forecasts(y, predicted, self.names, bands)
        error = np.abs(predicted - y.numpy()).mean(axis=0) / self._std
        yield "error_by_step", forecast_plots.error_by_step(error, self.names)

    @property
    def _point(self) -> int:
        """Position of the prediction among the outputs of a step: the median."""
        return self.quantiles.index(0.5) if self.quantiles else 0

    def _sorted(self, outputs: Tensor) -> Tensor:
        """Return the outputs as `(N * horizon, K, Q)`, increasing in Q."""
        found = outputs.reshape(-1, len(self.names), max(1, len(self.quantiles)))
        return found.sort(dim=-1).values if self.quantiles else found

    def _values(self, outputs: Tensor) -> np.ndarray:
        """Return the outputs in the user's unit, `(N, horizon, K, Q)`."""
        scaled = self._sorted(outputs.double()).cpu().numpy()
        return (scaled * self._std[:, None] + self._mean[:, None]).reshape(
            len(outputs), self.horizon, len(self.names), -1
        )

    def _table(self, what: str, values: np.ndarray) -> pd.DataFrame:
        names = [what] if len(self.names) == 1 else [f"{what}({name})" for name in self.names]
        return pd.DataFrame(values.reshape(-1, len(names)), columns=names)

"""Regression of one or several numbers per row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dlcli.tasks.base import Coverage, Task
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.number_metrics import scale_and_shift
from dlcli.tasks.quantiles import table_of_quantiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Regression(Task):
    """Regression with outputs `(N, K)` and targets `(N, K)` or `(N,)`; a loss of Q quantiles has outputs `(N, K * Q)`.

    Targets are standardized for training, so that learning rates and initial weights do not depend on the unit; the
    loss is computed on scaled targets. Metrics and predictions are in the user's own unit; with several targets, each
    metric is the mean over targets. With several quantiles, the median is the prediction; crossing quantiles are
    sorted, which never increases the loss (Chernozhukov et al., "Quantile and Probability Curves Without Crossing",
    2010).

    Args:
        targets: names of the target columns.
        target_mean: mean of each column over the training rows, in the user's unit.
        target_std: standard deviation of each column over the training rows; 1 for a constant target.
        loss: maps outputs and targets `(N, K)` to the mean over rows. A loss of quantiles has the attribute
            `quantiles`, their levels.
        scale_targets: standardize targets for training; if false, the model is trained on the raw numbers.
        target_quantiles: quantiles of each column over the training rows at equally spaced levels from 0 to 1, the
            baseline of a loss of quantiles. If None, the baseline is the mean.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        coverage: share of rows that prediction intervals are to cover, calibrated on validation rows and measured on
            test rows; None to measure nothing.
    """

    kind: ClassVar = "regression"
    accepts: ClassVar = {"regression"}
    learns_quantiles: ClassVar = True
    default_metrics = ("mae", "rmse", "mse", "r2", "mape")
    quantile_metrics = ("pinball", "coverage", "interval_width")
    _unit: Tensor

    def __init__(
        self,
        targets: Sequence[str],
        target_mean: Sequence[float],
        target_std: Sequence[float],
        loss: nn.Module,
        scale_targets: bool = True,
        target_quantiles: Sequence[Sequence[float]] | None = None,
        metrics: Sequence[str | MetricChoice] = ("default",),
        coverage: Coverage | None = None,
    ) -> None:
        super().__init__()
        self.coverage = coverage
        self.names = tuple(targets)
        self.criterion = loss
        levels = tuple(getattr(loss, "quantiles", ()))
        # A single quantile is the prediction itself and gives no interval.
        self.quantiles = levels if len(levels) > 1 else ()
        self.num_outputs = len(self.names) * max(1, len(self.quantiles))
        self.choose(metrics, self.quantiles)
        self._mean, self._std = np.array(target_mean), np.array(target_std)
        # Double precision, because a target such as a time in seconds varies little compared to its mean.
        self._center = self._mean if scale_targets else np.zeros_like(self._mean)
        self._scale = self._std if scale_targets else np.ones_like(self._std)
        self.register_buffer("_unit", torch.tensor(self._scale, dtype=torch.float32), persistent=False)
        self._constant = np.repeat(self._mean[:, None], max(1, len(levels)), axis=1)
        if levels and target_quantiles is not None:
            self._constant = np.array(
                [np.interp(levels, np.linspace(0, 1, len(v)), v) for v in target_quantiles]
            )

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return the scaled targets `(N, K)`."""
        return ((y.reshape(len(y), -1) - self._center) / self._scale).astype(np.float32)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of the scaled targets; outputs may lack the second dimension."""
        return self.criterion(outputs if self.quantiles else outputs.reshape(y.shape), y)

    def converted(self, outputs: Tensor, source: Task) -> Tensor:
        """Return sorted quantiles in standard deviations of this task, `(N, K * Q)`."""
        assert isinstance(source, Regression)
        scale, shift = scale_and_shift(source._scale, source._center, self._scale, self._center)
        return (source._sorted(outputs) * scale.to(outputs.device) + shift.to(outputs.device)).flatten(1)

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and targets in the user's unit, minus the center: adding it would cost precision."""
        return self._sorted(outputs)[..., self._point] * self._unit, y * self._unit

    def metric_kwargs(self, outputs: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return all quantiles `(N, K, Q)` in the user's unit, minus the center."""
        return {"quantiles": self._sorted(outputs) * self._unit.unsqueeze(-1)} if self.quantiles else {}

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take; values are in the user's unit, minus the `offset` of
        each target."""
        around, center = (
            torch.tensor(v, dtype=torch.float32) for v in (self._mean - self._center, self._center)
        )
        return {
            "task": "regression",
            "num_outputs": len(self.names),
            "targets": self.names,
            "around": around,
            "offset": center,
            "deviation": torch.tensor(self._std, dtype=torch.float64),
            "levels": self.quantiles,
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the mean of the training rows, or their quantiles at the levels of the loss."""
        scaled = (self._constant - self._center[:, None]) / self._scale[:, None]
        return self, torch.tensor(scaled.reshape(-1), dtype=torch.float32)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return `prediction`, with several quantiles also `q0.1` etc.; with several targets `prediction(TARGET)`."""
        values = self._values(outputs)
        tables = [self._table("prediction", values[..., self._point])]
        tables += [
            self._table(f"q{level:g}", values[..., index]) for index, level in enumerate(self.quantiles)
        ]
        return pd.concat(tables, axis=1)

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """Return the column `target`; with several targets, `target(TARGET)`."""
        return self._table("target", y.reshape(len(y), -1))

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore predictions, targets `(N, K)` and all quantiles in the user's unit, minus the center."""
        names = ["prediction", "target", *(f"q{level:g}" for level in self.quantiles)]
        columns = [list(self._table(name, np.empty((0, len(self.names)))).columns) for name in names]
        if not {column for several in columns for column in several} <= set(table.columns):
            return None
        predicted, y, *quantiles = (
            torch.from_numpy(
                (table[several].to_numpy(np.float64) - self._center).astype(np.float32, order="C")
            )
            for several in columns
        )
        return predicted, y, {"quantiles": torch.stack(quantiles, dim=-1)} if quantiles else {}

    def describe(self) -> str:
        """Return a description such as `regression of progression, loss MSE`."""
        names = ", ".join(self.names) if len(self.names) <= 5 else f"{len(self.names)} targets"
        quantiles = f" of {', '.join(f'{level:g}' for level in self.quantiles)}" if self.quantiles else ""
        return f"regression of {names}, loss {type(self.criterion).__name__}{quantiles}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame | None:
        """Return the errors of each target and the metrics of its quantiles; None for a single output."""
        if self.num_outputs == 1:
            return None
        y, values = y.reshape(len(y), -1), self._values(outputs)
        error = values[..., self._point] - y
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1 - (error**2).mean(axis=0) / y.var(axis=0)
        return pd.DataFrame(
            {
                "target": self.names,
                "rows": len(y),
                "mae": np.abs(error).mean(axis=0),
                "rmse": np.sqrt((error**2).mean(axis=0)),
                "r2": np.where(np.ptp(y, axis=0) > 0, r2, np.nan),
                **(table_of_quantiles(values, y, self.quantiles) if self.quantiles else {}),
            }
        )

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """Return all rows in order of descending error, summed over targets in standard deviations."""
        y, predicted = y.reshape(len(y), -1), self._values(outputs)[..., self._point]
        error = (np.abs(predicted - y) / self._scale).sum(axis=1)
        return [
            (int(row), f"{_numbers(y[row])}, predicted {_numbers(predicted[row])}")
            for row in np.argsort(-error, kind="stable")
        ]

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Yield predicted against actual values, residuals, and with several quantiles the intervals."""
        from dlcli.reports import regression_plots  # a prediction needs no matplotlib

        y, values = y.reshape(len(y), -1), self._values(outputs)
        predicted = values[..., self._point]
        yield "predicted_vs_actual", regression_plots.predicted_vs_actual(y, predicted, self.names)
        yield "residuals", regression_plots.residuals(y, predicted, self.names)
        if self.quantiles:
            yield "intervals", regression_plots.intervals(y, values, self.names, self.quantiles)

    @property
    def _point(self) -> int:
        """Index of the quantile that is the prediction."""
        return self.quantiles.index(0.5) if self.quantiles else 0

    def _sorted(self, outputs: Tensor) -> Tensor:
        """Return the outputs as `(N, K, Q)` with sorted quantiles; Q is 1 without quantiles."""
        return outputs.reshape(-1, len(self.names), max(1, len(self.quantiles))).sort().values

    def _values(self, outputs: Tensor) -> np.ndarray:
        """Return the outputs `(N, K, Q)` with sorted quantiles in the user's unit."""
        scaled = self._sorted(outputs).double().cpu().numpy()
        return scaled * self._scale[:, None] + self._center[:, None]

    def _table(self, column: str, values: np.ndarray) -> pd.DataFrame:
        names = [column] if len(self.names) == 1 else [f"{column}({name})" for name in self.names]
        return pd.DataFrame(values, columns=names)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

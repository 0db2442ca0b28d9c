"""Regression: one number a row, or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric

from dlcli.tasks import metrics as own
from dlcli.tasks.base import Task
from dlcli.tasks.quantiles import Coverage, IntervalWidth, Pinball, table_of_quantiles


class Regression(Task):
    """Outputs `(N, K)` and targets `(N, K)` or `(N,)`; of a loss of Q quantiles, outputs `(N, K * Q)`.

    The model learns targets with mean 0 and deviation 1, so that learning rates and weights fit any unit; the loss is
    that of scaled targets. Metrics and predictions are in the user's own unit; of several targets, each metric is the
    mean of theirs. Of several quantiles, the median is the prediction; where a model lets them cross they are sorted,
    which never makes them worse (Chernozhukov et al., "Quantile and Probability Curves Without Crossing", 2010).

    Args:
        targets: the columns' names.
        target_mean: of each column, over the training rows, in the user's unit.
        target_std: likewise; 1 where a target never changes.
        loss: takes outputs and targets `(N, K)`, returns the mean over rows. What it learns quantiles of it names:
            `quantiles`.
        scale_targets: without, the model learns the numbers as they are.
        target_quantiles: of each column, values that equally spaced shares of the training rows, 0 to 1, stay below:
            what quantiles are measured by. Without, by the mean.
    """

    kind: ClassVar = "regression"
    accepts: ClassVar = {"regression"}
    learns_quantiles: ClassVar = True
    _unit: Tensor

    def __init__(
        self,
        targets: Sequence[str],
        target_mean: Sequence[float],
        target_std: Sequence[float],
        loss: nn.Module,
        scale_targets: bool = True,
        target_quantiles: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(targets)
        self.criterion = loss
        levels = tuple(getattr(loss, "quantiles", ()))
        # One alone is what is predicted, and makes no interval.
        self.quantiles = levels if len(levels) > 1 else ()
        self.num_outputs = len(self.names) * max(1, len(self.quantiles))
        self.metric_names = ("mae", "rmse", "mse", "r2", "mape")
        if self.quantiles:
            self.metric_names += ("pinball", "coverage", "interval_width")
        self.epoch_metrics = self.metric_names
        self._mean, std = np.array(target_mean), np.array(target_std)
        # In double precision: a target such as a time in seconds varies little beside its mean.
        self._center = self._mean if scale_targets else np.zeros_like(self._mean)
        self._scale = std if scale_targets else np.ones_like(std)
        self.register_buffer("_unit", torch.tensor(self._scale, dtype=torch.float32), persistent=False)
        self._guess = np.repeat(self._mean[:, None], max(1, len(levels)), axis=1)
        if levels and target_quantiles is not None:
            self._guess = np.array(
                [np.interp(levels, np.linspace(0, 1, len(v)), v) for v in target_quantiles]
            )

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Scaled targets `(N, K)`."""
        return ((y.reshape(len(y), -1) - self._center) / self._scale).astype(np.float32)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss of scaled targets; outputs may lack the second dimension."""
        return self.criterion(outputs if self.quantiles else outputs.reshape(y.shape), y)

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions and targets in the user's unit, less the center, which would cost precision."""
        return self._sorted(outputs)[..., self._point] * self._unit, y * self._unit

    def judged_too(self, outputs: Tensor) -> dict[str, Tensor]:
        """All quantiles `(N, K, Q)`, likewise."""
        return {"quantiles": self._sorted(outputs) * self._unit.unsqueeze(-1)} if self.quantiles else {}

    def metrics(self) -> dict[str, Metric]:
        """Errors in the user's unit (`mse` in its square); `mape` as a share."""
        around, center = (
            torch.tensor(v, dtype=torch.float32) for v in (self._mean - self._center, self._center)
        )
        found: dict[str, Metric] = {
            "mae": MeanAbsoluteError(),
            "rmse": MeanSquaredError(squared=False, num_outputs=len(self.names)),
            "mse": MeanSquaredError(),
            "r2": own.R2(around),
            "mape": own.MAPE(center),
            "pinball": Pinball(self.quantiles),
            "coverage": Coverage(),
            "interval_width": IntervalWidth(),
        }
        return {name: found[name] for name in self.metric_names}

    def baseline(self) -> tuple[Task, Tensor]:
        """The mean of the training rows, or those of their quantiles that are learnt."""
        scaled = (self._guess - self._center[:, None]) / self._scale[:, None]
        return self, torch.tensor(scaled.reshape(-1), dtype=torch.float32)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """`prediction`, and of several quantiles `q0.1` and so on; of several targets, `prediction(TARGET)`."""
        values = self._values(outputs)
        tables = [self._table("prediction", values[..., self._point])]
        tables += [
            self._table(f"q{level:g}", values[..., index]) for index, level in enumerate(self.quantiles)
        ]
        return pd.concat(tables, axis=1)

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """`target`; of several, `target(TARGET)`."""
        return self._table("target", y.reshape(len(y), -1))

    def read_back(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Predictions and targets `(N, K)` in the user's unit, less the center; all quantiles, likewise."""
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
        """Such as `regression of progression, loss MSE`."""
        names = ", ".join(self.names) if len(self.names) <= 5 else f"{len(self.names)} targets"
        quantiles = f" of {', '.join(f'{level:g}' for level in self.quantiles)}" if self.quantiles else ""
        return f"regression of {names}, loss {type(self.criterion).__name__}{quantiles}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame | None:
        """The errors of each target, where there are several, and what its quantiles are worth."""
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
        """The rows with the largest errors, each target's in its own deviations."""
        y, predicted = y.reshape(len(y), -1), self._values(outputs)[..., self._point]
        error = (np.abs(predicted - y) / self._scale).sum(axis=1)
        return [
            (int(row), f"{_numbers(y[row])}, predicted {_numbers(predicted[row])}")
            for row in np.argsort(-error, kind="stable")
        ]

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Predicted against actual, residuals, and the intervals of several quantiles."""
        from dlcli.reports import regression_plots as regression

        y, values = y.reshape(len(y), -1), self._values(outputs)
        predicted = values[..., self._point]
        yield "predicted_vs_actual", regression.predicted_vs_actual(y, predicted, self.names)
        yield "residuals", regression.residuals(y, predicted, self.names)
        if self.quantiles:
            yield "intervals", regression.intervals(y, values, self.names, self.quantiles)

    @property
    def _point(self) -> int:
        """Which of the quantiles is the prediction."""
        return self.quantiles.index(0.5) if self.quantiles else 0

    def _sorted(self, outputs: Tensor) -> Tensor:
        """Outputs `(N, K, Q)`, where Q is 1 unless quantiles are learnt."""
        return outputs.reshape(len(outputs), len(self.names), max(1, len(self.quantiles))).sort().values

    def _values(self, outputs: Tensor) -> np.ndarray:
        """The same in the user's unit."""
        scaled = self._sorted(outputs).double().cpu().numpy()
        return scaled * self._scale[:, None] + self._center[:, None]

    def _table(self, what: str, values: np.ndarray) -> pd.DataFrame:
        names = [what] if len(self.names) == 1 else [f"{what}({name})" for name in self.names]
        return pd.DataFrame(values, columns=names)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

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


class Regression(Task):
    """Outputs `(N, K)` and targets `(N, K)` or `(N,)`.

    The model learns targets with mean 0 and deviation 1, so that learning rates and weights fit any unit; the loss is
    that of scaled targets. Metrics and predictions are in the user's own unit; of several targets, each metric is the
    mean of theirs.

    Args:
        targets: the columns' names.
        target_mean: of each column, over the training rows, in the user's unit.
        target_std: likewise; 1 where a target never changes.
        loss: takes outputs and targets, both `(N, K)`, returns the mean over rows.
        scale_targets: without, the model learns the numbers as they are.
    """

    kind: ClassVar = "regression"
    accepts: ClassVar = {"regression"}
    metric_names = ("mae", "rmse", "mse", "r2", "mape")
    epoch_metrics = metric_names
    _unit: Tensor

    def __init__(
        self,
        targets: Sequence[str],
        target_mean: Sequence[float],
        target_std: Sequence[float],
        loss: nn.Module,
        scale_targets: bool = True,
    ) -> None:
        super().__init__()
        self.names = tuple(targets)
        self.num_outputs = len(self.names)
        self.criterion = loss
        self._mean, std = np.array(target_mean), np.array(target_std)
        # In double precision: a target such as a time in seconds varies little beside its mean.
        self._center = self._mean if scale_targets else np.zeros_like(self._mean)
        self._scale = std if scale_targets else np.ones_like(std)
        self.register_buffer("_unit", torch.tensor(self._scale, dtype=torch.float32), persistent=False)

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Scaled targets `(N, K)`."""
        return ((y.reshape(len(y), -1) - self._center) / self._scale).astype(np.float32)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss of scaled targets; outputs may lack the second dimension."""
        return self.criterion(outputs.reshape(y.shape), y)

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions and targets in the user's unit, less the center, which would cost precision."""
        return outputs.reshape(y.shape) * self._unit, y * self._unit

    def metrics(self) -> dict[str, Metric]:
        """Errors in the user's unit (`mse` in its square); `mape` as a share."""
        around, center = (
            torch.tensor(v, dtype=torch.float32) for v in (self._mean - self._center, self._center)
        )
        return {
            "mae": MeanAbsoluteError(),
            "rmse": MeanSquaredError(squared=False, num_outputs=self.num_outputs),
            "mse": MeanSquaredError(),
            "r2": own.R2(around),
            "mape": own.MAPE(center),
        }

    def baseline(self) -> tuple[Task, Tensor]:
        """The mean of the training rows."""
        return self, torch.tensor((self._mean - self._center) / self._scale, dtype=torch.float32)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """`prediction`; of several targets, `prediction(TARGET)`."""
        return self._table("prediction", self._values(outputs))

    def targets(self, y: np.ndarray) -> pd.DataFrame:
        """`target`; of several, `target(TARGET)`."""
        return self._table("target", y.reshape(len(y), -1))

    def describe(self) -> str:
        """Such as `regression of progression, loss MSE`."""
        names = ", ".join(self.names) if self.num_outputs <= 5 else f"{self.num_outputs} targets"
        return f"regression of {names}, loss {type(self.criterion).__name__}"

    def breakdown(self, outputs: Tensor, y: np.ndarray) -> pd.DataFrame | None:
        """The errors of each target, where there are several."""
        if self.num_outputs == 1:
            return None
        y = y.reshape(len(y), -1)
        error = self._values(outputs) - y
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1 - (error**2).mean(axis=0) / y.var(axis=0)
        return pd.DataFrame(
            {
                "target": self.names,
                "rows": len(y),
                "mae": np.abs(error).mean(axis=0),
                "rmse": np.sqrt((error**2).mean(axis=0)),
                "r2": np.where(np.ptp(y, axis=0) > 0, r2, np.nan),
            }
        )

    def worst(self, outputs: Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        """The rows with the largest errors, each target's in its own deviations."""
        y, predicted = y.reshape(len(y), -1), self._values(outputs)
        error = (np.abs(predicted - y) / self._scale).sum(axis=1)
        return [
            (int(row), f"{_numbers(y[row])}, predicted {_numbers(predicted[row])}")
            for row in np.argsort(-error, kind="stable")
        ]

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Predicted against actual, and residuals."""
        from dlcli.reports import regression

        y, predicted = y.reshape(len(y), -1), self._values(outputs)
        yield "predicted_vs_actual", regression.predicted_vs_actual(y, predicted, self.names)
        yield "residuals", regression.residuals(y, predicted, self.names)

    def _values(self, outputs: Tensor) -> np.ndarray:
        """Outputs in the user's unit, `(N, K)`."""
        scaled = outputs.double().cpu().numpy().reshape(len(outputs), -1)
        return scaled * self._scale + self._center

    def _table(self, what: str, values: np.ndarray) -> pd.DataFrame:
        names = [what] if self.num_outputs == 1 else [f"{what}({name})" for name in self.names]
        return pd.DataFrame(values, columns=names)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

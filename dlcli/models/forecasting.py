"""Common parts of series models: the shape of their inputs and outputs, and interpolation along steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Window:
    """Shape of the inputs `(T, F)` and outputs of a model of series.

    Attributes:
        lookback: number of history steps.
        horizon: number of steps to forecast.
        features: number F of columns, the targets first.
        targets: number K of targets.
        outputs: outputs per step and target: 1, or the number Q of quantiles.
        ahead: whether the row extends over the horizon, with covariates that are known ahead.
    """

    lookback: int
    horizon: int
    features: int
    targets: int
    outputs: int
    ahead: bool

    @classmethod
    def of(
        cls,
        input_shape: tuple[int, ...],
        num_outputs: int,
        lookback: int | None,
        horizon: int | None,
        targets: int | None,
    ) -> Window:
        """Return the window described by the facts of the data.

        Raises:
            ValueError: the rows are not windows of a series.
        """
        if lookback is None or horizon is None:
            raise ValueError(
                "this model only forecasts series (dataset=series): choose another model for other data"
            )
        steps, features = input_shape
        targets = targets or num_outputs // horizon
        outputs = num_outputs // (horizon * targets)
        return cls(lookback, horizon, features, targets, outputs, ahead=steps > lookback)

    def by_step(self, outputs: Tensor) -> Tensor:
        """Return outputs of each target `(N, K, horizon * Q)` step by step, `(N, horizon * K * Q)`."""
        if self.targets == 1:
            return outputs.flatten(1)
        return outputs.unflatten(2, (self.horizon, self.outputs)).transpose(1, 2).flatten(1)


def interpolation(points: int, steps: int) -> Tensor | None:
    """Return the matrix `(points, steps)` of a linear interpolation of equally spaced points; None if there
    is one point per step."""
    if points == steps:
        return None
    return functional.interpolate(torch.eye(points).unsqueeze(0), size=steps, mode="linear")[0]

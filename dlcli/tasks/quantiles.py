"""Metrics of predicted quantiles: the pinball loss of each, and coverage and width of the outermost interval.

Quantiles are `(N, K, Q)`, increasing, in the user's unit; targets are `(N, K)`. Metrics receive the quantiles as a
keyword argument in addition to the point prediction that other metrics use.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlcli.tasks.metric import MeanMetric


def pinball_loss(quantiles: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    """Return the loss of each quantile of each target `(N, K, Q)` (Koenker and Bassett, 1978); levels are `(Q,)`."""
    error = y.unsqueeze(-1) - quantiles
    return torch.maximum(levels * error, (levels - 1) * error)


class _OfQuantiles(MeanMetric):
    """Base class of metrics that are the mean of `_values` over rows and targets."""

    takes = "centered"

    @abstractmethod
    def _values(self, quantiles: Tensor, y: Tensor) -> Tensor:
        """Return the value of each row and target, `(N, K)` or `(N, K, Q)`."""

    def update(self, predicted: Tensor, y: Tensor, quantiles: Tensor) -> None:  # type: ignore[override]
        """Add a batch of rows; `predicted` is ignored."""
        self.add(self._values(quantiles, y))


class Pinball(_OfQuantiles):
    """Mean pinball loss over quantiles, targets and rows.

    Args:
        levels: levels of the quantiles, between 0 and 1.
    """

    higher_is_better = False
    plot_lower_bound = 0.0
    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.levels = torch.tensor(levels)

    def _values(self, quantiles: Tensor, y: Tensor) -> Tensor:
        return pinball_loss(quantiles, y, self.levels)


class Coverage(_OfQuantiles):
    """Share of targets between the lowest and the highest quantile.

    The best value is the nominal one, such as 0.8 for the quantiles 0.1 and 0.9, so higher is not better.
    """

    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def _values(self, quantiles: Tensor, y: Tensor) -> Tensor:
        return (quantiles[..., 0] <= y) & (y <= quantiles[..., -1])


class IntervalWidth(_OfQuantiles):
    """Mean distance between the lowest and the highest quantile; at equal coverage, narrower is better."""

    plot_lower_bound = 0.0

    def _values(self, quantiles: Tensor, y: Tensor) -> Tensor:
        return quantiles[..., -1] - quantiles[..., 0]


def table_of_quantiles(
    quantiles: np.ndarray, y: np.ndarray, levels: Sequence[float]
) -> dict[str, np.ndarray]:
    """Return columns of `breakdown.csv` per target: the metrics of quantiles, and shares such as `below q0.1`.

    Quantiles are `(N, ..., Q)`, targets `(N, ...)`, both in the unit of the metrics; columns are `(...)`.
    """
    low, high = quantiles[..., 0], quantiles[..., -1]
    below = {
        f"below q{level:g}": (y <= quantiles[..., index]).mean(axis=0) for index, level in enumerate(levels)
    }
    covered = ((low <= y) & (y <= high)).mean(axis=0)
    error, shares = y[..., None] - quantiles, np.array(levels)
    pinball = np.maximum(shares * error, (shares - 1) * error).mean(axis=(0, -1))
    return {"pinball": pinball, "coverage": covered, "interval_width": (high - low).mean(axis=0), **below}

"""What several quantiles of a number are worth: each by the pinball loss, the outermost two as an interval.

Quantiles are `(N, K, Q)`, increasing, in the user's unit; targets `(N, K)`. Metrics get them by name, beside the point
prediction that other metrics judge.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric


def pinball_loss(quantiles: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    """The loss of each quantile of each target `(N, K, Q)` (Koenker and Bassett, 1978); levels are `(Q,)`."""
    error = y.unsqueeze(-1) - quantiles
    return torch.maximum(levels * error, (levels - 1) * error)


class _Mean(Metric):
    """The mean over rows and targets of what `_each` says of them."""

    full_state_update = False
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A name of its own: a collection takes metrics whose states are called and begin alike for one and the same.
        self._total = f"total_{type(self).__name__}"
        self.add_state(self._total, default=torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.zeros(()), dist_reduce_fx="sum")

    @abstractmethod
    def _each(self, quantiles: Tensor, y: Tensor) -> Tensor:
        """Each row's and target's value, `(N, K)` or `(N, K, Q)`."""

    def update(self, predicted: Tensor, y: Tensor, quantiles: Tensor) -> None:
        """Add some rows; `predicted` is not looked at."""
        values = self._each(quantiles, y).float()
        setattr(self, self._total, getattr(self, self._total) + values.sum())
        self.rows += values.numel()

    def compute(self) -> Tensor:
        """The mean."""
        mean: Tensor = getattr(self, self._total) / self.rows
        return mean


class Pinball(_Mean):
    """The mean pinball loss over quantiles, targets and rows.

    Args:
        levels: the shares that the quantiles are of.
    """

    higher_is_better = False
    plot_lower_bound = 0.0
    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)

    def _each(self, quantiles: Tensor, y: Tensor) -> Tensor:
        return pinball_loss(quantiles, y, self.levels)


class Coverage(_Mean):
    """The share of targets between the lowest and the highest quantile: of 0.1 and 0.9, 0.8 is right, not more."""

    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def _each(self, quantiles: Tensor, y: Tensor) -> Tensor:
        return (quantiles[..., 0] <= y) & (y <= quantiles[..., -1])


class IntervalWidth(_Mean):
    """How far the lowest and the highest quantile are apart; of models that cover as much, the narrowest knows most."""

    plot_lower_bound = 0.0

    def _each(self, quantiles: Tensor, y: Tensor) -> Tensor:
        return quantiles[..., -1] - quantiles[..., 0]


def table_of_quantiles(
    quantiles: np.ndarray, y: np.ndarray, levels: Sequence[float]
) -> dict[str, np.ndarray]:
    """Columns of `breakdown.csv`, of each target: `coverage`, `interval_width`, and `below q0.1`, the share that is."""
    low, high = quantiles[..., 0], quantiles[..., -1]
    below = {
        f"below q{level:g}": (y <= quantiles[..., index]).mean(axis=0) for index, level in enumerate(levels)
    }
    covered = ((low <= y) & (y <= high)).mean(axis=0)
    return {"coverage": covered, "interval_width": (high - low).mean(axis=0), **below}

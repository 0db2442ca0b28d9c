"""Inputs of a forecasting model from the windows of a batch: relative values, and one row per variable."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

# Reference of a window: none, its last values, or its mean and standard deviation.
Relative = Literal["none", "last", "revin"]

# Added to the variance of a window. The 1e-5 of Kim et al. would exceed the variance of small series next to large
# ones.
_EPSILON = 1e-10


class ModelWindows(nn.Module):
    """Conversion of windows `(N, T, F)` to model inputs, and of the model's outputs to forecasts of all targets.

    - `last` subtracts the last values of each window and adds them to its forecast (Zeng et al., 2023);
    - `revin` subtracts the mean of each window's history and divides by its deviation, and reverts that on the
      forecast: reversible instance normalization (Kim et al., 2022), without its learned affine map.

    With `independent`, each target becomes a separate row, together with the columns that are not forecast: `(N * K, T,
    1 + F
    - K)`, so that the model has one set of weights for all targets (channel independence, Nie et al., 2023).

    Args:
        lookback: number of history steps in a window.
        horizon: number of steps to forecast.
        targets: number K of leading columns that are forecast.
        known: number of trailing columns that are known ahead, which are never relative.
        relative: reference of the values of a window.
        independent: whether the model processes one target at a time.

    Raises:
        ValueError: `relative` is another value, as in a damaged folder.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        targets: int,
        known: int,
        relative: Relative = "last",
        independent: bool = False,
    ) -> None:
        super().__init__()
        if relative not in get_args(Relative):
            raise ValueError(f"relative is {relative!r}, not {', '.join(get_args(Relative))}")
        self.lookback = lookback
        self.horizon = horizon
        self.targets = targets
        self.known = known
        self.relative = relative
        self.independent = independent and targets > 1

    @property
    def sharing(self) -> int:
        """Number of targets that share the model's weights, one row each; 1 if the model processes them together."""
        return self.targets if self.independent else 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's input: `(N, T, F)`, or `(N * K, T, 1 + F - K)`."""
        if self.relative != "none":
            level, scale = self._level_and_scale(x)
            past = (x[:, : self.lookback] - level) / scale
            x = torch.cat([past, x[:, self.lookback :]], dim=1) if self.known else past
        if not self.independent:
            return x
        own = x[:, :, : self.targets].transpose(1, 2).unsqueeze(3)
        others = x[:, :, self.targets :].unsqueeze(1).expand(-1, self.targets, -1, -1)
        return torch.cat([own, others], dim=3).flatten(0, 1)

    def restore(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Return the outputs of all rows as forecasts `(N, horizon * K * Q)` in the scale of the windows.

        Q is the number of outputs per step and target, such as quantiles.
        """
        rows = x.shape[0]
        if self.independent:
            outputs = outputs.reshape(rows, self.targets, self.horizon, -1).transpose(1, 2)
        if self.relative != "none":
            level, scale = (part[:, :, : self.targets, None] for part in self._level_and_scale(x))
            outputs = outputs.reshape(rows, self.horizon, self.targets, -1) * scale + level
        return outputs.flatten(1)

    def _level_and_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offset and divisor of each column, `(N, 1, F)`; 0 and 1 for columns that are known ahead."""
        unknown = x.shape[2] - self.known
        if self.relative == "last":
            level = x[:, self.lookback - 1 : self.lookback, :unknown]
            scale = torch.ones_like(level)
        else:
            past = x[:, : self.lookback, :unknown]
            level = past.mean(dim=1, keepdim=True)
            scale = (past.var(dim=1, keepdim=True, correction=0) + _EPSILON).sqrt()
        return functional.pad(level, (0, self.known)), functional.pad(scale, (0, self.known), value=1.0)

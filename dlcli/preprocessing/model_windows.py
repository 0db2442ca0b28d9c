"""Inputs of a forecasting model from the windows of a batch: relative values, and one row per variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.preprocessing.raised_values import LEAST_MEAN, LEAST_SHARE
from dlcli.preprocessing.seasonal_profile import SeasonalProfile, mean_of

# Reference of a window: none, its last values, or its mean and standard deviation.
Relative = Literal["none", "last", "revin"]

# Added to the variance of a window. The 1e-5 of Kim et al. would exceed the variance of small series next to large
# ones.
_EPSILON = 1e-10

# Upper bound of a forecast's logarithm above that of the highest value of its window: a factor of about 1,000.
_MOST_ABOVE = 7.0


class ModelWindows(nn.Module):
    """Conversion of windows `(N, T, F)` to model inputs, and of the model's outputs to forecasts of all targets.

    - `last` subtracts the last values of each window and adds them to its forecast (Zeng et al., 2023);
    - `revin` subtracts the mean of each window's history and divides by its deviation, and reverts that on the
      forecast: reversible instance normalization (Kim et al., 2022), without its learned affine map.

    Before that, with `scale_of`, the targets are replaced by their logarithms, in which a seasonal pattern in
    proportion to the level has a constant size; with `season`, their seasonal profile in the window is subtracted, and
    added to the forecast; and with `recent`, the model receives only the last steps of the window.

    With `padded`, windows may begin with steps that are NaN in all columns, because their series begins later. All
    statistics of a window are those of its other steps, and the model receives 0 in their place: the reference of a
    relative value, and the training mean of the values themselves and of columns that are known ahead.

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
        scale_of: mean and deviation by which each target was scaled, for logarithms of the values themselves; None for
            no logarithms.
        season: period of the seasonal profile; None not to subtract it.
        recent: number of last history steps that the model receives; None for all.
        padded: whether windows may begin with NaN.

    Raises:
        ValueError: `relative` is another value, as in a damaged folder. Or the window is shorter than three seasons.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        lookback: int,
        horizon: int,
        targets: int,
        known: int,
        relative: Relative = "last",
        independent: bool = False,
        scale_of: tuple[Sequence[float], Sequence[float]] | None = None,
        season: int | None = None,
        recent: int | None = None,
        padded: bool = False,
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
        self.log = scale_of is not None
        mean, std = scale_of or ([0.0], [1.0])
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        self.profile = SeasonalProfile(lookback, horizon, season) if season else None
        self.recent = recent or lookback
        self.padded = padded

    @property
    def sharing(self) -> int:
        """Number of targets that share the model's weights, one row each; 1 if the model processes them together."""
        return self.targets if self.independent else 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's input: `(N, T, F)`, or `(N * K, T, 1 + F - K)`."""
        x, present = self._without_padding(x)
        x, _ = self._adjusted(x, present)
        if self.relative != "none":
            level, scale = self._level_and_scale(x, present)
            past = (x[:, : self.recent] - level) / scale
            x = torch.cat([past, x[:, self.recent :]], dim=1) if self.known else past
        if present is not None:
            shown = functional.pad(present[:, -self.recent :], (0, 0, 0, x.shape[1] - self.recent), value=1.0)
            x = x * shown
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
        outputs = outputs.reshape(rows, self.horizon, self.targets, -1)
        x, present = self._without_padding(x)
        adjusted, ahead = self._adjusted(x, present)
        if self.relative != "none":
            both = self._level_and_scale(adjusted, present)
            level, scale = (part[:, :, : self.targets, None] for part in both)
            outputs = outputs * scale + level
        if ahead is not None:
            outputs = outputs + ahead.unsqueeze(3)
        if self.log:
            logarithms = self._logarithms(x, present)
            if present is not None:
                logarithms = logarithms.masked_fill(present == 0, -torch.inf)
            most = logarithms.amax(dim=1, keepdim=True).unsqueeze(3) + _MOST_ABOVE
            outputs = (torch.minimum(outputs, most).exp() - self.mean[:, None]) / self.std[:, None]
        return outputs.flatten(1)

    def _without_padding(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return windows with 0 instead of NaN, and 1 for each other step of the history `(N, lookback, 1)`, else 0.

        The second is None if no window is padded.
        """
        if not self.padded:
            return x, None
        missing = x[:, :, :1].isnan()
        return x.masked_fill(missing, 0.0), (~missing[:, : self.lookback]).to(x.dtype)

    def _adjusted(self, x: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the steps that the model receives, before they are made relative, and the profile ahead.

        The profile is `(N, horizon, K)`; None if it is not subtracted.
        """
        ahead = None
        if self.log or self.profile is not None:
            own = self._logarithms(x, present) if self.log else x[:, : self.lookback, : self.targets]
            if self.profile is not None:
                past, ahead = self.profile(own, present)
                own = own - past
            own = functional.pad(own, (0, 0, 0, x.shape[1] - self.lookback))
            x = torch.cat([own, x[:, :, self.targets :]], dim=2)
        return x[:, self.lookback - self.recent :], ahead

    def _logarithms(self, x: Tensor, present: Tensor | None) -> Tensor:
        """Return the logarithms of the targets of the history `(N, lookback, K)`."""
        values = x[:, : self.lookback, : self.targets] * self.std + self.mean
        mean = mean_of(values.abs(), present).clamp_min(LEAST_MEAN)
        return torch.maximum(values, LEAST_SHARE * mean).log()

    def _level_and_scale(self, x: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return offset and divisor of each column, `(N, 1, F)`; 0 and 1 for columns that are known ahead."""
        unknown = x.shape[2] - self.known
        if self.relative == "last":
            level = x[:, self.recent - 1 : self.recent, :unknown]
            scale = torch.ones_like(level)
        else:
            past = x[:, : self.recent, :unknown]
            shown = None if present is None else present[:, -self.recent :]
            level = mean_of(past, shown)
            variance = (
                past.var(dim=1, keepdim=True, correction=0)
                if shown is None
                else mean_of((past - level).square(), shown)
            )
            scale = (variance + _EPSILON).sqrt()
        return functional.pad(level, (0, self.known)), functional.pad(scale, (0, self.known), value=1.0)

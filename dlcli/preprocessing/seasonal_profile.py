"""Seasonal profile of a window, and its continuation over the forecast."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

# Below this number of seasons, the deviations of a step from one season to the next cannot be told from a profile.
LEAST_SEASONS = 3
# Lower bound of a variance, so that a window without a profile is not divided by 0.
_LEAST = 1e-12


class SeasonalProfile(nn.Module):
    """Mean deviation of each step of a season from a centred moving average over one season: classical decomposition.

    The profile is multiplied by the share of its variance that is not explained by the remainder, between 0 and 1:
    a window without a season has a profile of nearly 0.

    Args:
        lookback: number of steps of a window.
        horizon: number of steps that follow it.
        season: period in steps, at least 2.

    Raises:
        ValueError: the window is shorter than three seasons.
    """

    # Profile by phase and remainder as linear functions of a window, and the phases of its steps and of the horizon.
    phases: Tensor
    rest: Tensor
    past: Tensor
    ahead: Tensor

    def __init__(self, lookback: int, horizon: int, season: int) -> None:
        super().__init__()
        if season < 2 or lookback < LEAST_SEASONS * season:
            raise ValueError(
                f"a seasonal profile needs {LEAST_SEASONS} seasons, but {lookback} steps have a period of {season}"
            )
        self.season = season
        half = season // 2
        weights = np.full(2 * half + 1, 1 / season)
        if season % 2 == 0:
            weights[[0, -1]] /= 2
        inner = lookback - 2 * half
        average = np.stack([np.pad(weights, (start, inner - 1 - start)) for start in range(inner)], axis=1)
        detrended = np.eye(lookback)[:, half : half + inner] - average
        member = np.eye(season)[(np.arange(inner) + half) % season]
        means = detrended @ (member / member.sum(axis=0))
        means -= means.mean(axis=1, keepdims=True)
        for name, matrix in (("phases", means), ("rest", detrended - means @ member.T)):
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)), persistent=False)
        steps = torch.arange(lookback + horizon) % season
        self.register_buffer("past", steps[:lookback], persistent=False)
        self.register_buffer("ahead", steps[lookback:], persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map windows `(N, lookback, K)` to their profile over the lookback and over the horizon `(N, horizon, K)`."""
        # The profile of a constant is 0, and sums of large values would be rounded.
        rows = (x - x.mean(dim=1, keepdim=True)).transpose(1, 2)
        # Products in half precision would add an error to each forecast.
        with (
            torch.autocast(x.device.type, enabled=False)
            if torch.is_autocast_enabled(x.device.type)
            else nullcontext()
        ):
            profile, rest = rows.float() @ self.phases, rows.float() @ self.rest
        seasons = rest.shape[2] / self.season
        noise = rest.square().sum(dim=2, keepdim=True) / (rest.shape[2] - self.season) / seasons
        found = profile.square().sum(dim=2, keepdim=True) / (self.season - 1)
        profile = profile * (1 - noise / found.clamp_min(_LEAST)).clamp_min(0)
        profile = profile.transpose(1, 2)
        return profile.index_select(1, self.past), profile.index_select(1, self.ahead)

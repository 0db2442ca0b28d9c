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

    In windows that begin with padding, the profile is that of the other steps; if these are fewer than three seasons,
    it is 0.

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
    detrended: Tensor
    member: Tensor
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
        matrices = (
            ("phases", means),
            ("rest", detrended - means @ member.T),
            ("detrended", detrended),
            ("member", member),
        )
        for name, matrix in matrices:
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)), persistent=False)
        steps = torch.arange(lookback + horizon) % season
        self.register_buffer("past", steps[:lookback], persistent=False)
        self.register_buffer("ahead", steps[lookback:], persistent=False)

    def forward(self, x: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map windows `(N, lookback, K)` to their profile over the lookback and over the horizon `(N, horizon, K)`.

        `present` is 0 for each step of a window's padding, and 1 for others, `(N, lookback, 1)`.
        """
        # The profile of a constant is 0, and sums of large values would be rounded.
        rows = (x - mean_of(x, present)).transpose(1, 2)
        # Products in half precision would add an error to each forecast.
        with (
            torch.autocast(x.device.type, enabled=False)
            if torch.is_autocast_enabled(x.device.type)
            else nullcontext()
        ):
            profile, rest, steps = self._parts(rows.float(), present)
        noise = rest.square().sum(dim=2, keepdim=True) / (steps - self.season) / (steps / self.season)
        found = profile.square().sum(dim=2, keepdim=True) / (self.season - 1)
        profile = profile * (1 - noise / found.clamp_min(_LEAST)).clamp_min(0)
        profile = profile.transpose(1, 2)
        return profile.index_select(1, self.past), profile.index_select(1, self.ahead)

    def _parts(self, rows: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor, Tensor | int]:
        """Return the profile by phase, the remainder and the number of its steps, of rows `(N, K, lookback)`."""
        if present is None:
            rest = rows @ self.rest
            return rows @ self.phases, rest, rest.shape[2]
        # The moving average of a step is known if the first of its steps is.
        inner = present.float().transpose(1, 2)[..., : len(self.member)]
        steps = inner.sum(dim=2, keepdim=True)
        enough = steps >= LEAST_SEASONS * self.season - 2 * (self.season // 2)
        detrended = rows @ self.detrended * inner
        means = detrended @ self.member / (inner @ self.member).clamp_min(1)
        means = (means - means.mean(dim=2, keepdim=True)) * enough
        # A count of steps that does not divide by 0 where the profile is 0 anyway.
        return means, (detrended - means @ self.member.T) * inner, steps.clamp_min(self.season + 1)


def mean_of(x: Tensor, present: Tensor | None) -> Tensor:
    """Return the mean of the steps of each row `(N, T, K)` that are present, `(N, 1, K)`; of all steps for None."""
    if present is None:
        return x.mean(dim=1, keepdim=True)
    return (x * present).sum(dim=1, keepdim=True) / present.sum(dim=1, keepdim=True)

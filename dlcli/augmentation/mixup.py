"""Mixup: training on mixtures of two rows (Zhang, Cisse, Dauphin and Lopez-Paz, 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def mixup(batch: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Mix `x` of each row with that of another row, with one weight per batch drawn from Beta(alpha, alpha).

    The weight of the other row is the smaller of the drawn weight and its complement. The distribution of mixtures is
    the same, but each is dominated by its own row, so that training metrics, computed with `y`, remain meaningful. The
    targets are returned as `y` and `y_mixed` instead of being mixed, so that any loss can be used.
    """
    x, y = batch["x"], batch["y"]
    # Draw on the CPU, because reading a number from another device would synchronize.
    drawn = float(torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha)).sample())
    share = min(drawn, 1 - drawn)
    order = torch.randperm(len(x), device=x.device)
    values = x if x.is_floating_point() else x.float()
    mixed = torch.lerp(values, values[order], share)
    return {**batch, "x": mixed, "y_mixed": y[order], "share": torch.tensor(share, device=x.device)}

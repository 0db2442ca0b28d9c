"""Mixup: training on mixtures of two rows (Zhang, Cisse, Dauphin and Lopez-Paz, 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def mixup(batch: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Mix `x` with that of another row of the batch, in a share drawn from Beta(alpha, alpha) for the whole batch.

    Of a share and the rest the smaller one is mixed in, which makes the same mixtures: what is seen most is the row's
    own, and the figures of training rows, which are those of `y`, mean something. The targets are not mixed but stand
    side by side, `y` and `y_mixed`, so that every loss can be used.
    """
    x, y = batch["x"], batch["y"]
    # On the CPU, where reading one number waits for nothing.
    drawn = float(torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha)).sample())
    share = min(drawn, 1 - drawn)
    order = torch.randperm(len(x), device=x.device)
    values = x if x.is_floating_point() else x.float()
    mixed = torch.lerp(values, values[order], share)
    return {**batch, "x": mixed, "y_mixed": y[order], "share": torch.tensor(share, device=x.device)}

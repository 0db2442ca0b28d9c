"""One call of torch's fused kernel of Adam and AdamW, for steps that do not go through `Optimizer.step`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def fused_adam(
    group: Mapping[str, Any],
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    betas: tuple[float, float],
    decoupled: bool = False,
) -> None:
    """Update parameters and states in place, with the arguments and bits of torch's own call.

    Args:
        group: `lr`, `weight_decay` and `eps`.
        parameters: the parameters.
        gradients: their gradients, of the same shapes, as all further tensors.
        moments: running means of the gradients.
        squares: running means of their squares.
        steps: numbers of the steps, this one included, each of shape `()`.
        betas: coefficients of both means.
        decoupled: whether the decay is that of AdamW.
    """
    kernel: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_
    kernel(
        parameters,
        gradients,
        moments,
        squares,
        [],
        steps,
        amsgrad=False,
        lr=group["lr"],
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )

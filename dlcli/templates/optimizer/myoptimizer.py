"""MyOptimizer: a custom optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.optim import Optimizer


class MyOptimizer(Optimizer):
    """Steps by the sign of a running mean of the gradient.

    Args:
        params: The model's parameters; dlcli passes them.
        lr: Learning rate, the size of each step.
        momentum: Decay of the running mean.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: Annotated[float, Gt(0)] = 0.001,
        momentum: Annotated[float, Ge(0), Lt(1)] = 0.9,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters by one step; the closure computes the loss and the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                # The contents of `state` are part of the checkpoint, so that a resumed run continues exactly.
                state = self.state[parameter]
                mean = state.setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 1 - group["momentum"])
                parameter.add_(mean.sign(), alpha=-group["lr"])
        return loss

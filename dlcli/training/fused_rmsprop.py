"""RMSprop in one pass over memory on a CPU, where torch's makes a pass for each of its operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import RMSprop

from dlcli.training.fused_adam import fused_adam

# Mark of the groups that the fused kernel updates. Groups of checkpoints of earlier versions do not have it.
_FUSED = "by_fused_adam"

# A number of steps after which Adam's corrections of its biases are 1.
_MANY = 1e9


class FusedRMSprop(RMSprop):
    """RMSprop by the kernel of torch's fused Adam, with which it agrees without a first moment and bias correction.

    The update takes the place of torch's within `step`, so that hooks, closures, states and checkpoints are those of
    torch. The results are rounded in another way than those of torch's RMSprop. A group with momentum, or of a restored
    optimizer that is not marked, is updated by torch's RMSprop.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, and mark it."""
        super().add_param_group({_FUSED: True, **param_group})

    def _init_group(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], *states: Any
    ) -> bool:
        has_complex: bool = super()._init_group(group, parameters, gradients, *states)
        squares, _, _, steps = states
        asked = ("momentum", "centered", "maximize", "foreach", "capturable", "differentiable")
        if not parameters or not group.get(_FUSED) or any(group[name] for name in asked):
            return has_complex
        if not all(_is_on_cpu(each) for each in parameters) or isinstance(group["lr"], Tensor):
            return has_complex
        laid_out = zip(parameters, gradients, squares, strict=True)
        if any(
            len({each.stride() for each in own}) > 1 for own in laid_out
        ):  # the kernel reads them as vectors
            return has_complex
        torch._foreach_add_(steps, 1)
        # With a coefficient of 0, the first moment is the gradient, which takes its place; with decay it is another.
        firsts = [each.clone() for each in gradients] if group["weight_decay"] else gradients
        many = [torch.tensor(_MANY)] * len(parameters)
        fused_adam(group, parameters, gradients, firsts, squares, many, betas=(0.0, group["alpha"]))
        for each in (parameters, gradients, *states):  # nothing is left for torch
            each.clear()
        return has_complex


def _is_on_cpu(parameter: Tensor) -> bool:
    return parameter.is_cpu and parameter.dtype == torch.float32

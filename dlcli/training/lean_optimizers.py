"""RMSprop and Adadelta with fewer passes over memory on a CPU, whose torch versions make a pass per operation.

Both replace the update within `step` of torch's class: hooks, closures, states and checkpoints are those of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adadelta, RMSprop

# Mark of the groups that the fused kernel updates. Groups of checkpoints of earlier versions do not have it.
_FUSED = "by_fused_adam"

# A number of steps after which Adam's corrections of its biases are 1.
_MANY = 1e9

# Numbers that torch updates in one thread; several such blocks fit in the cache of a core.
_BLOCK = 1 << 15


class FusedRMSprop(RMSprop):
    """RMSprop by the kernel of torch's fused Adam, with which it agrees without a first moment and bias correction.

    The results are rounded in another way than those of torch's RMSprop. A group with momentum, or of a restored
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
        # With a coefficient of 0, the first moment is the gradient, which takes its place.
        torch._fused_adam_(
            parameters,
            gradients,
            gradients,
            squares,
            [],
            [torch.tensor(_MANY)] * len(parameters),
            amsgrad=False,
            lr=group["lr"],
            beta1=0.0,
            beta2=group["alpha"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        for each in (parameters, gradients, *states):  # nothing is left for torch
            each.clear()
        return has_complex


class BlockedAdadelta(Adadelta):
    """Adadelta whose operations are applied to one block of a parameter after the other, which stays in the cache.

    The operations and their order are torch's, without temporary tensors of the size of a parameter. With one thread
    the bits are equal.
    """

    def _init_group(
        self,
        group: dict[str, Any],
        parameters: list[Tensor],
        gradients: list[Tensor],
        squares: list[Tensor],
        deltas: list[Tensor],
        steps: list[Tensor],
    ) -> bool:
        lists = parameters, gradients, squares, deltas, steps
        has_complex: bool = super()._init_group(group, *lists)
        asked = ("weight_decay", "maximize", "foreach", "capturable", "differentiable")
        if any(group[name] for name in asked) or isinstance(group["lr"], Tensor):
            return has_complex
        size = _BLOCK * torch.get_num_threads()
        for place in reversed(range(len(parameters))):
            own = [each[place] for each in lists[:4]]
            if _is_on_cpu(own[0]) and own[0].numel() > size and all(each.is_contiguous() for each in own):
                steps[place] += 1
                _update(own, size, group)
                for each in lists:  # the others are left for torch
                    del each[place]
        return has_complex


def _update(own: Sequence[Tensor], size: int, group: dict[str, Any]) -> None:
    """Update a parameter, given with its gradient and its states, in blocks of a size."""
    rho, eps = group["rho"], group["eps"]
    first, second = own[0].new_empty(2, size)
    for parameter, gradient, square, total in zip(*(each.view(-1).split(size) for each in own), strict=True):
        deviation, delta = first[: len(parameter)], second[: len(parameter)]
        square.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
        torch.add(square, eps, out=deviation).sqrt_()
        torch.add(total, eps, out=delta).sqrt_().div_(deviation).mul_(gradient)
        total.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        parameter.add_(delta, alpha=-group["lr"])


def _is_on_cpu(parameter: Tensor) -> bool:
    return parameter.is_cpu and parameter.dtype == torch.float32

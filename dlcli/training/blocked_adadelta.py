"""Adadelta in one pass over memory on a CPU, where torch's makes a pass for each of its operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adadelta

# Elements of a parameter that are updated at a time, for each thread. With those of its gradient, states and
# intermediate results they fit into a processor's cache. Of 4,096 to 65,536 elements, the most took the least time.
_ELEMENTS = 1 << 16


class BlockedAdadelta(Adadelta):
    """Adadelta that updates large parameters block by block, with the operations of torch's and so the same bits.

    The update takes the place of torch's within `step`, so that hooks, closures, states and checkpoints are those of
    torch. Smaller parameters, and those of which a tensor is not contiguous, are updated by torch's Adadelta.
    """

    def _init_group(self, group: dict[str, Any], *lists: Any) -> bool:
        has_complex: bool = super()._init_group(group, *lists)
        asked = ("maximize", "foreach", "capturable", "differentiable")
        if has_complex or any(group[name] for name in asked) or isinstance(group["lr"], Tensor):
            return has_complex
        length = _ELEMENTS * torch.get_num_threads()
        kept = []
        for each in zip(*lists, strict=True):
            parameter, gradient, square, delta, step = each
            tensors = (parameter, gradient, square, delta)
            if parameter.numel() > length and all(one.is_cpu and one.is_contiguous() for one in tensors):
                step += 1
                _update([one.view(-1).split(length) for one in tensors], group)
            else:
                kept.append(each)
        for place, each in enumerate(lists):
            each[:] = [one[place] for one in kept]  # what is left for torch
        return has_complex


def _update(tensors: Sequence[tuple[Tensor, ...]], group: dict[str, Any]) -> None:
    """Update a parameter, given its blocks, and those of its gradient, mean squares and mean squared changes."""
    rho, eps, decay = group["rho"], group["eps"], group["weight_decay"]
    for parameter, gradient, square, delta in zip(*tensors, strict=True):
        slope = gradient.add(parameter, alpha=decay) if decay else gradient
        square.mul_(rho).addcmul_(slope, slope, value=1 - rho)
        change = delta.add(eps).sqrt_().div_(square.add(eps).sqrt_()).mul_(slope)
        delta.mul_(rho).addcmul_(change, change, value=1 - rho)
        parameter.add_(change, alpha=-group["lr"])

"""Steps of torch's fused Adam and AdamW without the work that `Optimizer.step` repeats at each of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from dlcli.training.fused_adam import fused_adam

_STATES = ("exp_avg", "exp_avg_sq", "step")


class DirectSteps:
    """Steps of an optimizer by one call of torch's kernel for each parameter group.

    `Optimizer.step` looks up states and groups tensors anew at each step, which takes as long as the forward pass of a
    small network. Here the lists are kept. Parameters and states are the optimizer's own tensors, and kernel and
    arguments are those of torch, so that the bits are equal. Where a list is not complete, because a parameter has no
    state yet or no gradient, the optimizer takes the step itself.

    The lists must not outlive a change of the optimizer's states or of the trained parameters, such as a restored
    checkpoint or an unfrozen layer: create an object for each chunk of steps.

    Args:
        optimizer: an optimizer for which `can_step_directly` returns True.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._parameters = [each for group in optimizer.param_groups for each in group["params"]]
        self._groups = _listed(optimizer)
        # Otherwise, schedules would warn of missing steps.
        optimizer._opt_called = True  # type: ignore[attr-defined]

    def take(self, loss: Tensor) -> None:
        """Compute the gradients of a loss, and update the parameters."""
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        gradients = None if self._groups is None else self._gradients()
        if self._groups is None or gradients is None:
            self._optimizer.step()
            self._groups = _listed(self._optimizer)
            return
        with torch.no_grad():
            for (group, parameters, states), own in zip(self._groups, gradients, strict=True):
                torch._foreach_add_(states[-1], 1)
                fused_adam(
                    group,
                    parameters,
                    own,
                    *states,
                    betas=group["betas"],
                    decoupled=group["decoupled_weight_decay"],
                )

    def _gradients(self) -> list[list[Tensor]] | None:
        """Return the gradients of each group, or None if one is missing or sparse."""
        assert self._groups is not None
        found: list[list[Any]] = [[each.grad for each in parameters] for _, parameters, _ in self._groups]
        if any(one is None or one.layout != torch.strided for own in found for one in own):
            return None
        return found


def can_step_directly(optimizer: Optimizer) -> bool:
    """Return whether `DirectSteps` takes the steps of this optimizer: a fused Adam or AdamW without hooks."""
    own: Any = vars(optimizer).get("step")  # a schedule replaces it by a function that counts calls
    return (
        type(optimizer) in (Adam, AdamW)
        and (own is None or hasattr(own, "_wrapped_by_lr_sched"))
        and not optimizer._optimizer_step_pre_hooks
        and not optimizer._optimizer_step_post_hooks
        and not _global_optimizer_pre_hooks
        and not _global_optimizer_post_hooks
        and all(_is_plain(group) for group in optimizer.param_groups)
    )


def _is_plain(group: dict[str, Any]) -> bool:
    return (
        bool(group["fused"])
        and not any(group[name] for name in ("amsgrad", "maximize", "capturable", "differentiable"))
        and all(type(number) is float for number in (group["lr"], *group["betas"]))
    )


def _listed(optimizer: Optimizer) -> list[tuple[dict[str, Any], list[Tensor], list[list[Tensor]]]] | None:
    """Return each group with its trained parameters and their states, as `_STATES`; None if a state is missing."""
    made = []
    for group in optimizer.param_groups:
        parameters = [each for each in group["params"] if each.requires_grad]
        states: list[Any] = [optimizer.state.get(each) for each in parameters]
        if not parameters:
            continue
        if not all(state and state.keys() >= set(_STATES) for state in states):
            return None
        if len({(each.device, each.dtype) for each in parameters}) > 1:
            return None
        made.append((group, parameters, [[each[name] for each in states] for name in _STATES]))
    return made

"""The optimizers of K networks of one shape, as one.

Parameters, gradients and states of a parameter group are matrices with a row per network. A step updates the rows of
the networks that take it, in one call of torch's kernels for all networks with equal settings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from dlcli.stacking.stacked_layers import Unstackable
from dlcli.training.fused_adam import fused_adam

# Settings of a parameter group that may differ between networks.
_OWN = ("params", "lr", "initial_lr", "weight_decay")

# Settings that choose between implementations of the same step.
_IMPLEMENTATION = ("fused", "foreach")

_ADAM_STATES = ("exp_avg", "exp_avg_sq")


def optimizer_shape(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> Hashable:
    """Return what optimizers must have in common to be stacked.

    Raises:
        Unstackable: the optimizer, or one of its settings, has no stacked form.
    """
    if type(optimizer) not in (Adam, AdamW, SGD):
        raise Unstackable(f"the optimizer {type(optimizer).__name__}")
    number = {id(parameter): place for place, parameter in enumerate(parameters)}
    groups = []
    for group in optimizer.param_groups:
        if not isinstance(group["lr"], float | int):
            raise Unstackable("a learning rate that is a tensor")
        for name in ("amsgrad", "maximize", "capturable", "differentiable"):
            if group.get(name):
                raise Unstackable(f"optimizer.{name}")
        settings = {k: v for k, v in group.items() if k not in (*_OWN, *_IMPLEMENTATION)}
        places = tuple(number[id(parameter)] for parameter in group["params"])
        groups.append((places, tuple(sorted((k, _plain(v)) for k, v in settings.items()))))
    if sorted(place for places, _ in groups for place in places) != list(range(len(parameters))):
        raise Unstackable("weights that the optimizer does not train")
    return type(optimizer).__name__, tuple(groups)


def _plain(value: Any) -> Hashable:
    return tuple(value) if isinstance(value, list | tuple) else value


class _Matrices:
    """A parameter group of K networks: `(K, numbers)` of parameters, gradients and states."""

    def __init__(self, groups: Sequence[dict[str, Any]], states: Sequence[str]) -> None:
        self.groups = groups
        self.parameters = [list(group["params"]) for group in groups]  # of each network
        self.values = torch.stack([_flat(each) for each in self.parameters])
        self.gradients = torch.zeros_like(self.values)
        self.states = {name: torch.zeros_like(self.values) for name in states}
        # Of each network, in the shapes of its parameters, at whose ends torch's kernels may round in another way.
        self.rows = [self.views(row) for row in self.values]
        self.gradient_rows = [self.views(row) for row in self.gradients]
        self.state_rows = {name: [self.views(row) for row in matrix] for name, matrix in self.states.items()}
        places = range(len(self.parameters[0]))
        self.leaves = [self._view(self.values, place).requires_grad_() for place in places]
        self.gradient_views = [self._view(self.gradients, place) for place in places]

    def _view(self, matrix: Tensor, place: int) -> Tensor:
        shapes = [parameter.shape for parameter in self.parameters[0]]
        first = sum(shape.numel() for shape in shapes[:place])
        part = matrix[:, first : first + shapes[place].numel()]
        return part.unflatten(1, shapes[place]) if shapes[place] else part[:, 0]

    def views(self, row: Tensor) -> list[Tensor]:
        """Return the parts of a row in the shapes of the parameters."""
        sizes = [parameter.numel() for parameter in self.parameters[0]]
        shapes = [parameter.shape for parameter in self.parameters[0]]
        return [part.view(shape) for part, shape in zip(row.split(sizes), shapes, strict=True)]


def _flat(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


class StackedOptimizer:
    """The optimizers of K networks, whose learning rates and weight decays may differ.

    The networks' own parameters are copies, which `write_weights` updates. The states of their own optimizers are
    updated when they are saved.

    Args:
        optimizers: of the networks, of equal `optimizer_shape`.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers
        self._is_adam = isinstance(optimizers[0], Adam)
        groups = zip(*(one.param_groups for one in optimizers), strict=True)
        has_momentum = any(group.get("momentum") for group in optimizers[0].param_groups)
        self._states = _ADAM_STATES if self._is_adam else ("momentum_buffer",) if has_momentum else ()
        self._matrices = [_Matrices(of_all, self._states) for of_all in groups]
        self._leaves = {
            id(parameter): leaf
            for matrices in self._matrices
            for parameter, leaf in zip(matrices.parameters[0], matrices.leaves, strict=True)
        }
        self._steps = [torch.zeros(()) for _ in optimizers]
        self._views = [
            [view for each in self._matrices for view in each.rows[k]] for k in range(len(optimizers))
        ]
        self._own = [
            [parameter for each in self._matrices for parameter in each.parameters[k]]
            for k in range(len(optimizers))
        ]
        for k in range(len(optimizers)):
            self._read_state(k)
            optimizers[k]._opt_called = True  # type: ignore[attr-defined]  # else schedules warn of missing steps
        self._hooks = [one.register_state_dict_pre_hook(self._writing(k)) for k, one in enumerate(optimizers)]

    def leaf(self, parameter: nn.Parameter) -> Tensor:
        """Return the stacked parameter `(K, ...)` of a parameter of the first network."""
        return self._leaves[id(parameter)]

    def differentiate(self, loss: Tensor, *, adds: bool) -> None:
        """Compute the gradients of a loss, and set those of a step to them, or with `adds` add them."""
        leaves = [leaf for each in self._matrices for leaf in each.leaves]
        views = [view for each in self._matrices for view in each.gradient_views]
        gradients = torch.autograd.grad(loss, leaves)
        (torch._foreach_add_ if adds else torch._foreach_copy_)(views, gradients)

    @torch.no_grad()
    def step(self, members: Sequence[int]) -> None:
        """Take a step with the networks of these numbers."""
        steps = [self._steps[k] for k in members]
        is_first = {k: float(self._steps[k]) == 0 for k in members} if not self._is_adam else {}
        torch._foreach_add_(steps, 1)
        for each in self._matrices:
            equal: dict[Hashable, list[int]] = defaultdict(list)
            for k in members:
                group = each.groups[k]
                equal[group["lr"], group["weight_decay"], is_first.get(k)].append(k)
            for together in equal.values():
                group = each.groups[together[0]]
                if self._is_adam:
                    self._step_of_adam(each, together, group)
                else:
                    _step_of_sgd(each, together, group, is_first[together[0]])

    def _step_of_adam(self, each: _Matrices, members: Sequence[int], group: dict[str, Any]) -> None:
        decoupled = group.get("decoupled_weight_decay", isinstance(self._optimizers[0], AdamW))
        fused_adam(
            group,
            [view for k in members for view in each.rows[k]],
            [view for k in members for view in each.gradient_rows[k]],
            [view for k in members for view in each.state_rows["exp_avg"][k]],
            [view for k in members for view in each.state_rows["exp_avg_sq"][k]],
            [self._steps[k] for k in members for _ in each.leaves],
            betas=group["betas"],
            decoupled=decoupled,
        )

    @torch.no_grad()
    def write_weights(self, k: int) -> None:
        """Copy the weights of a network into its own parameters."""
        torch._foreach_copy_(self._own[k], self._views[k])

    def release(self) -> None:
        """Hand the states to the networks' own optimizers."""
        for k, hook in enumerate(self._hooks):
            hook.remove()
            self._write_state(k)

    def _writing(self, k: int) -> Any:
        return lambda _: self._write_state(k)

    def _write_state(self, k: int) -> None:
        optimizer = self._optimizers[k]
        if not self._states or not float(self._steps[k]):
            return
        for each in self._matrices:
            parts = {name: rows[k] for name, rows in each.state_rows.items()}
            for place, parameter in enumerate(each.parameters[k]):
                state = {name: views[place].clone() for name, views in parts.items()}
                counted = {"step": self._steps[k].clone()} if self._is_adam else {}
                optimizer.state[parameter] = counted | state

    @torch.no_grad()
    def _read_state(self, k: int) -> None:
        for each in self._matrices:
            for name, rows in each.state_rows.items():
                for parameter, view in zip(each.parameters[k], rows[k], strict=True):
                    state = self._optimizers[k].state.get(parameter, {})
                    if state.get(name) is not None:
                        view.copy_(state[name])
                        self._steps[k].fill_(float(state.get("step", 1)))


def _step_of_sgd(each: _Matrices, members: Sequence[int], group: dict[str, Any], is_first: bool) -> None:
    values = [view for k in members for view in each.rows[k]]
    gradients = [view for k in members for view in each.gradient_rows[k]]
    if group["weight_decay"]:
        torch._foreach_add_(gradients, values, alpha=group["weight_decay"])
    if momentum := group["momentum"]:
        buffers = [view for k in members for view in each.state_rows["momentum_buffer"][k]]
        if is_first:
            torch._foreach_copy_(buffers, gradients)
        else:
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, gradients, alpha=1 - group["dampening"])
        gradients = (
            list(torch._foreach_add(gradients, buffers, alpha=momentum)) if group["nesterov"] else buffers
        )
    torch._foreach_add_(values, gradients, alpha=-group["lr"])

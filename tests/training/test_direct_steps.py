"""Steps of fused Adam and AdamW without `Optimizer.step`."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from dlcli.training.direct_steps import DirectSteps, can_step_directly

X = torch.linspace(-1, 1, 24).view(8, 3)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1))


def loss_of(model: nn.Module) -> Tensor:
    loss: Tensor = (model(X) - X.prod(dim=1, keepdim=True)).square().mean()
    return loss


def state_of(optimizer: Any) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values()]


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_the_bits_are_those_of_the_optimizer(kind: Any) -> None:
    """With two groups, a rate that changes, and a layer that is trained from the fourth step on."""
    made = []
    for direct in (True, False):
        model = network()
        groups = [{"params": model[:3].parameters()}, {"params": model[4].parameters(), "weight_decay": 0.0}]
        optimizer = kind(groups, lr=0.1, weight_decay=0.1, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        for chunk in range(3):
            model[2].requires_grad_(chunk > 0)
            steps = DirectSteps(optimizer) if direct else None
            for _ in range(3):
                if steps:
                    steps.take(loss_of(model))
                else:
                    optimizer.zero_grad()
                    loss_of(model).backward()
                    optimizer.step()
                schedule.step()
        assert can_step_directly(optimizer)
        made.append([*model.parameters(), *state_of(optimizer)])
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))


def test_a_parameter_without_gradient_keeps_its_values() -> None:
    model = network()
    optimizer = Adam(model.parameters(), lr=0.1, fused=True)
    steps = DirectSteps(optimizer)
    for _ in range(3):
        steps.take(loss_of(model))
    before = [parameter.clone() for parameter in model[0].parameters()]
    steps.take(model[2:](torch.ones(8, 5)).square().mean())
    assert all(torch.equal(one, other) for one, other in zip(before, model[0].parameters(), strict=True))
    assert {float(optimizer.state[one]["step"]) for one in model[0].parameters()} == {3.0}
    assert {float(optimizer.state[one]["step"]) for one in model[2].parameters()} == {4.0}


@pytest.mark.parametrize(
    "make",
    [
        partial(Adam, lr=0.1),
        partial(Adam, lr=0.1, fused=True, amsgrad=True),
        partial(Adam, lr=torch.tensor(0.1), fused=True),
        partial(SGD, lr=0.1, fused=True),
        type("Own", (Adam,), {}),
    ],
)
def test_other_optimizers_take_their_own_steps(make: Any) -> None:
    assert not can_step_directly(make(network().parameters()))


def test_hooks_of_an_optimizer_are_called() -> None:
    optimizer = Adam(network().parameters(), fused=True)
    assert can_step_directly(optimizer)
    optimizer.register_step_post_hook(lambda *_: None)
    assert not can_step_directly(optimizer)

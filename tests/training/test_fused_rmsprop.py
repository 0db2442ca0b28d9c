"""RMSprop by the kernel of the fused Adam."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.optim import RMSprop

from dlcli.training.fused_rmsprop import FusedRMSprop

X = torch.linspace(-1, 1, 40).view(8, 5)


def trained(kind: Any, state: Any = None, **settings: Any) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Return the parameters and the state of the optimizer after six steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 2))
    optimizer = kind(model.parameters(), **settings)
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))
    for _ in range(6):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()
    return list(model.parameters()), optimizer.state_dict()


def test_the_fused_rmsprop_is_that_of_torch_up_to_rounding() -> None:
    settings: dict[str, Any] = {"lr": 0.01, "alpha": 0.9, "weight_decay": 0.1}
    ours, state = trained(FusedRMSprop, **settings)
    theirs, expected = trained(RMSprop, **settings)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert not torch.equal(one, other) or one.numel() < 10  # otherwise, torch has done the step
    for own, of_torch in zip(state["state"].values(), expected["state"].values(), strict=True):
        assert own.keys() == of_torch.keys()
        assert own["step"] == of_torch["step"] == 6


def test_a_restored_rmsprop_of_torch_continues_with_the_bits_of_torch() -> None:
    _, state = trained(RMSprop, lr=0.01)
    ours, _ = trained(FusedRMSprop, lr=0.01, state=state)
    theirs, _ = trained(RMSprop, lr=0.01, state=state)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_momentum_is_left_to_torch() -> None:
    ours, _ = trained(FusedRMSprop, lr=0.01, momentum=0.5)
    theirs, _ = trained(RMSprop, lr=0.01, momentum=0.5)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))

"""Adadelta block by block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adadelta

from dlcli.training import blocked_adadelta
from dlcli.training.blocked_adadelta import BlockedAdadelta


def trained(kind: Any, state: Any = None, **settings: Any) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Return the parameters and the state of the optimizer after four steps."""
    torch.manual_seed(0)
    images = nn.Conv2d(2, 8, 3).to(memory_format=torch.channels_last)
    model = nn.Sequential(images, nn.Flatten(), nn.Linear(8 * 3 * 3, 11), nn.Tanh(), nn.Linear(11, 2))
    optimizer = kind(model.parameters(), **settings)
    if state is not None:
        optimizer.load_state_dict(state)
    x = torch.randn(6, 2, 5, 5).to(memory_format=torch.channels_last)
    for _ in range(4):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    return list(model.parameters()), optimizer.state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lr": 0.3, "weight_decay": 0.1, "rho": 0.8},
        {"maximize": True},
        {"lr": torch.tensor(0.3)},
        {"foreach": True},
    ],
    ids=["defaults", "decay", "maximize", "lr-tensor", "foreach"],
)
def test_the_bits_are_those_of_torch(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_adadelta, "_ELEMENTS", 20)
    blocks = []
    update = blocked_adadelta._update
    monkeypatch.setattr(
        blocked_adadelta, "_update", lambda *args: (blocks.append(len(args[0][0])), update(*args))
    )
    ours, state = trained(BlockedAdadelta, **settings)
    theirs, expected = trained(Adadelta, **settings)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(state["state"], expected["state"], rtol=0, atol=0)
    is_plain = not settings.keys() & {"maximize", "foreach"} and not isinstance(
        settings.get("lr"), torch.Tensor
    )
    assert set(blocks) == ({-(-8 * 9 * 11 // 20), -(-11 * 2 // 20)} if is_plain else set())
    continued = [
        trained(kind, given, **settings)[0]
        for kind, given in ((BlockedAdadelta, expected), (Adadelta, state))
    ]
    torch.testing.assert_close(*continued, rtol=0, atol=0)

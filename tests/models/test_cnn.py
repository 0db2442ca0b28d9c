"""The order of pooling and activation, and dropout with shared random numbers."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from dlcli.models.cnn import CNN
from dlcli.models.layers import Activation
from dlcli.models.quick_dropout import QuickDropout


def kinds(model: CNN) -> list[str]:
    return [type(layer).__name__ for layer in model.features]


def test_pooling_comes_first_where_nothing_changes() -> None:
    assert kinds(CNN((1, 8, 8), 3, channels=[4])) == ["Conv2d", "MaxPool2d", "ReLU", "Flatten"]
    assert kinds(CNN((1, 8, 8), 3, channels=[4], pooling="average")) == [
        "Conv2d",
        "ReLU",
        "AvgPool2d",
        "Flatten",
    ]
    first = {
        name
        for name in get_args(Activation)
        if kinds(CNN((1, 8, 8), 3, channels=[4], activation=name))[1] == "MaxPool2d"
    }
    assert first == {"relu", "leaky_relu"}  # the others fall somewhere, or round


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_the_order_changes_neither_values_nor_gradients(name: Activation) -> None:
    torch.manual_seed(0)
    pooled_first = CNN((1, 12, 12), 3, channels=[4, 8], activation=name, dropout=0.0)
    layers = list(pooled_first.features)
    for place, layer in enumerate(pooled_first.features):
        if isinstance(layer, nn.MaxPool2d):
            layers[place : place + 2] = [layers[place + 1], layer]
    active_first = nn.Sequential(nn.Sequential(*layers), pooled_first.head)
    x = torch.randn(16, 1, 12, 12).round()  # many equal values in a window
    found = []
    for model in (pooled_first, active_first):
        model.zero_grad()
        outputs = model(x)
        outputs.square().sum().backward()
        found.append([outputs.detach(), *(parameter.grad.clone() for parameter in pooled_first.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_the_rate_and_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(401, 1003, requires_grad=True)  # no multiple of four elements
    dropped = QuickDropout(rate)(x)
    dropped.sum().backward()
    # Five standard deviations of a share of 400,000 elements.
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=5 * 0.5 / x.numel() ** 0.5)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - rate)], rel=1e-4)
    assert torch.equal(x.grad, dropped.detach())  # type: ignore[arg-type]
    neighbours = (dropped[:, 1:] == 0) & (dropped[:, :-1] == 0)
    assert neighbours.float().mean().item() == pytest.approx(rate**2, abs=0.005)  # drawn independently


def test_dropout_follows_from_the_seed() -> None:
    x, layer = torch.ones(100, 100), QuickDropout(0.3)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(layer(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_dropout_is_that_of_torch_in_evaluation_and_for_few_elements() -> None:
    x, layer = torch.ones(100, 100), QuickDropout(0.3)
    assert layer.eval()(x) is x
    few, own = torch.ones(10, 10), layer.train()
    torch.manual_seed(0)
    ours = own(few)
    torch.manual_seed(0)
    assert torch.equal(ours, nn.Dropout(0.3)(few))
    assert torch.equal(QuickDropout(0.0)(x), x)

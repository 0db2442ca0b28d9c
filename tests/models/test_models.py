"""Each model: shapes, a gradient for every parameter, and that it can learn a handful of rows by heart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlcli.models.cnn import CNN
from dlcli.models.lstm import LSTM
from dlcli.models.mlp import MLP

IMAGE, TABLE, SEQUENCE = (1, 8, 8), (5,), (7, 3)

MODELS = {
    "mlp on a table": (MLP, TABLE, {}),
    "mlp on images": (MLP, IMAGE, {"hidden": [32, 16], "activation": "gelu", "dropout": 0.1}),
    "mlp on sequences": (MLP, SEQUENCE, {"hidden": 16, "layers": 3}),
    "cnn": (CNN, IMAGE, {}),
    "cnn in colour": (CNN, (3, 9, 6), {"channels": [4, 8], "kernel_size": 5, "hidden": 0, "dropout": 0.0}),
    "cnn that pools nothing": (CNN, IMAGE, {"channels": [4], "pool": 1}),
    "lstm": (LSTM, SEQUENCE, {}),
    "lstm on rows of images": (
        LSTM,
        (3, 8, 8),
        {"hidden": 16, "layers": 2, "bidirectional": True, "dropout": 0.2},
    ),
}


@pytest.fixture(params=MODELS, ids=str)
def made(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[int, ...]]:
    model, shape, arguments = MODELS[request.param]
    torch.manual_seed(0)
    return model(input_shape=shape, num_outputs=4, **arguments), shape


def test_outputs_have_one_row_each(made) -> None:
    model, shape = made
    for rows in (1, 6):
        assert model(torch.randn(rows, *shape)).shape == (rows, 4)


def test_every_parameter_has_a_gradient(made) -> None:
    model, shape = made
    model(torch.randn(6, *shape)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_it_learns_a_handful_of_rows_by_heart(made) -> None:
    model, shape = made
    x, y = torch.randn(8, *shape), torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(dim=1) == y).all()


def test_an_image_that_is_too_small_to_be_pooled_is_an_error() -> None:
    with pytest.raises(ValueError, match="4 poolings by 2 leave nothing of an image of 8 x 8 pixels"):
        CNN(IMAGE, 10, channels=[8, 8, 8, 8])

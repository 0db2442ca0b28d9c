"""TabM: members that share weights; only training sees the outputs of single members."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dlcli.errors import ConfigError
from dlcli.models.tabm import MemberLinear, SharedLinear, TabM
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import BinaryCrossEntropy, CrossEntropy
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.training.network import Network

CLASSES = ("a", "b", "c")
TASKS: dict[str, tuple[Task, torch.Tensor]] = {
    "multiclass": (
        Multiclass(CLASSES, (1, 2, 3), CrossEntropy(CLASSES, (1, 2, 3))),
        torch.tensor([0, 1, 2, 1]),
    ),
    "binary": (
        Binary(CLASSES[:2], (1, 2), BinaryCrossEntropy(CLASSES[:2], (1, 2))),
        torch.tensor([[0.0], [1.0], [1.0], [0.0]]),
    ),
    "multilabel": (
        Multilabel(CLASSES[:2], ((1, 2), (2, 1)), BinaryCrossEntropy(CLASSES[:2], ((1, 2), (2, 1)))),
        torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
    ),
    "regression": (Regression(["y"], [0.0], [1.0], nn.MSELoss()), torch.randn(4, 1)),
}


@pytest.mark.parametrize(
    ("rows", "members"), [(0, 8), (50_000, 8), (50_001, 4), (100_000, 4), (200_000, 2), (10**7, 1)]
)
def test_many_rows_have_few_members(rows: int, members: int) -> None:
    assert TabM.automatic(rows, 3)["members"] == (members, f"for {rows:,} training rows")
    assert TabM((3,), 1, training_rows=rows, hidden=2, numbers="plain").members == members


@pytest.mark.parametrize(
    ("rows", "columns", "numbers"),
    [
        (999, 5, "plain for 999 training rows"),
        (1000, 5, "piecewise for 1,000 training rows"),
        (1000, 0, "plain for 0 columns of numbers"),
        (1000, 100, "piecewise for 1,000 training rows"),
        (9999, 2000, "plain for 2,000 columns of numbers"),
    ],
)
def test_bins_need_rows_and_not_too_many_columns(rows: int, columns: int, numbers: str) -> None:
    assert " ".join(TabM.automatic(rows, columns)["numbers"]) == numbers


def test_a_table_without_numbers_has_nothing_to_embed() -> None:
    for numbers in ("auto", "piecewise"):
        model = TabM((0,), 1, (4, 3), [], training_rows=5000, members=2, hidden=2, numbers=numbers)
        assert model(torch.zeros(5, 0), torch.ones(5, 2, dtype=torch.int64)).shape == (5, 2, 1)


def test_a_list_has_the_units_of_each_layer() -> None:
    model = TabM((3,), 1, members=2, hidden=[5, 4, 6], numbers="plain")
    shapes = [tuple(layer.weight.shape) for layer in model.layers if isinstance(layer, SharedLinear)]
    assert shapes == [(5, 3), (4, 5), (6, 4)]


def test_a_shared_layer_is_one_layer_per_member() -> None:
    torch.manual_seed(0)
    made = SharedLinear(3, 4, 5, scales_inputs=True)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(6, 3, 4)
    for member in range(3):
        weight = made.s[member].unsqueeze(1) * made.weight * made.r[member]
        expected = functional.linear(x[:, member], weight, made.bias[member])
        torch.testing.assert_close(made(x)[:, member], expected)


def test_the_output_layers_are_independent() -> None:
    torch.manual_seed(0)
    made, x = MemberLinear(3, 4, 2), torch.randn(6, 3, 4)
    for member in range(3):
        expected = x[:, member] @ made.weight[member] + made.bias[member]
        torch.testing.assert_close(made(x)[:, member], expected)


@pytest.mark.parametrize("sharing", ["batch_ensemble", "mini"])
def test_members_differ_from_the_first_step_on(sharing) -> None:
    torch.manual_seed(0)
    model = TabM((3,), 2, members=4, sharing=sharing, hidden=8, numbers="plain").eval()
    outputs = model(torch.randn(5, 3))
    assert outputs.shape == (5, 4, 2)
    assert outputs.std(dim=1).min() > 1e-4
    assert set(model.factors.flatten().tolist()) == {-1.0, 1.0}
    (outputs - 1).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("kind", TASKS)
def test_training_has_a_loss_per_member_and_evaluation_one_model(kind: str) -> None:
    task, y = TASKS[kind]
    torch.manual_seed(0)
    model = TabM((3,), task.num_outputs, members=5, hidden=8, dropout=0.0, numbers="plain")
    network, batch = Network(model, combine=task.combined).train(), {"x": torch.randn(4, 3)}
    outputs = network(batch)
    assert outputs.shape == (4, 5, task.num_outputs)
    expected = torch.stack([task.loss(outputs[:, member], y) for member in range(5)]).mean()
    torch.testing.assert_close(network.loss(task, outputs, y), expected)
    whole = network.eval()(batch)
    torch.testing.assert_close(network.train().combined(outputs), whole)
    torch.testing.assert_close(network.eval().loss(task, whole, y), task.loss(whole, y))
    members = torch.stack([task.metric_inputs(outputs[:, member], y)[0] for member in range(5)])
    torch.testing.assert_close(task.metric_inputs(whole, y)[0], members.mean(dim=0))


@pytest.mark.parametrize("kind", TASKS)
def test_a_single_member_is_one_model(kind: str) -> None:
    """As for tables of more than 200,000 training rows, where `auto` means one member."""
    task, y = TASKS[kind]
    model = TabM((3,), task.num_outputs, members=1, hidden=8, numbers="plain")
    network, batch = Network(model, combine=task.combined).train(), {"x": torch.randn(4, 3)}
    outputs = network(batch)
    assert outputs.shape == (4, task.num_outputs)
    torch.testing.assert_close(network.loss(task, outputs, y), task.loss(outputs, y))
    torch.testing.assert_close(network.combined(outputs), outputs)
    torch.testing.assert_close(network.eval()(batch), outputs)


@pytest.mark.parametrize("kind", TASKS)
def test_certain_members_have_no_infinite_mean(kind: str) -> None:
    task, y = TASKS[kind]
    outputs = torch.full((4, 3, task.num_outputs), 200.0)
    outputs[:, 1] = -200.0
    assert task.combined(outputs).isfinite().all()
    assert np.isfinite(float(task.loss(task.combined(outputs), y)))


def test_averaged_weights_belong_to_an_ensemble_too() -> None:
    model = TabM((3,), 1, members=2, hidden=4, numbers="plain")
    task = TASKS["binary"][0]
    network = Network(model, combine=task.combined).with_model(model).eval()
    outputs = model.eval()(x := torch.randn(4, 3))
    torch.testing.assert_close(network({"x": x}), task.combined(outputs))


@pytest.mark.parametrize("members", [0, True, 2.0, nn.ModuleList()])
def test_members_are_a_number_of_models(members) -> None:
    model = nn.Linear(2, 1)
    model.members = members
    with pytest.raises(ConfigError, match="Linear has an attribute members that is"):
        Network(model)

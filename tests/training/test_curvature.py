"""The change of variables of a linear model: the same solution in fewer iterations, and cases without one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlcli.models.linear import Linear
from dlcli.models.linear_forecast import LinearForecast
from dlcli.training.curvature import Curvature, curvature_of, second_derivative
from dlcli.training.penalty_path import PenaltyPath


def correlated(rows: int = 200, inputs: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows whose inputs are correlated and of very different sizes, and their classes."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=draw) @ torch.randn(3, inputs, generator=draw)
    x = (x + 0.1 * torch.randn(rows, inputs, generator=draw)) * torch.logspace(-1, 1, inputs)
    y = (x[:, 0] * 10 + x[:, -1] / 10 + torch.randn(rows, generator=draw) > 0).long()
    return x, y


def solve(model: Linear, x: torch.Tensor, y: torch.Tensor, *, changed: bool) -> tuple[float, float]:
    """Return the objective for a penalty of 0.001, and the iterations of all penalties."""
    path, iterations = PenaltyPath(list(model.parameters()), tolerance=1e-8), 0.0
    if changed:
        path.curvature = curvature_of(model, (model(x) for _ in range(1)))
        assert path.curvature is not None

    def closure() -> torch.Tensor:
        path.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    for _ in range(4):
        outputs = model(x).detach()
        path.second_derivative = second_derivative(lambda one: functional.cross_entropy(one, y), outputs)
        path.step(closure)
        iterations += path.facts["iterations"]
    return path.param_groups[0]["objective"], iterations


def test_the_solution_is_the_same_and_takes_fewer_iterations() -> None:
    x, y = correlated()
    objective, iterations = solve(Linear((30,), 2), x, y, changed=False)
    same, fewer = solve(Linear((30,), 2), x, y, changed=True)
    assert same == pytest.approx(objective, rel=1e-3)
    assert fewer < 0.7 * iterations


def test_variables_stand_for_the_weights_of_all_layers() -> None:
    model = Linear((3,), 2, cardinalities=(4, 2))
    x, codes = torch.randn(20, 3), torch.stack([torch.arange(20) % 4, torch.arange(20) % 2], dim=1)
    found = curvature_of(model, (model(x, codes) for _ in range(2)))
    assert found is not None
    before = [nn.init.normal_(parameter.detach()).clone() for parameter in model.parameters()]
    variables = found.set(0.2, 0.01)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        found.apply(variables)
    for parameter, values in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [Linear((1,), 1, vocab_size=5), Linear((5000,), 1), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))],
)
def test_models_of_tokens_of_many_inputs_or_of_layers_of_several_widths_have_none(model: nn.Module) -> None:
    assert curvature_of(model, ()) is None


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (lambda y: lambda z: functional.mse_loss(z, y), 2.0),
        (lambda y: lambda z: functional.binary_cross_entropy_with_logits(z, (y > 0).float()), 0.25),
        (lambda y: lambda z: functional.l1_loss(z, y), 0.1),  # it has none: the usual value
    ],
)
def test_the_second_derivative_of_a_loss(loss: object, value: float) -> None:
    outputs, y = torch.zeros(50, 1), torch.randn(50, 1)
    assert second_derivative(loss(y), outputs) == pytest.approx(value)  # type: ignore[operator]


def test_inputs_that_are_not_finite_are_left_to_the_loss() -> None:
    model = Linear((1,), 1)
    x = torch.tensor([[float("inf")], [1.0]])
    assert curvature_of(model, (model(x) for _ in range(1))) is None
    assert isinstance(curvature_of(model, (model(x[1:]) for _ in range(1))), Curvature)


def test_one_set_of_weights_for_all_targets_is_solved_in_a_few_iterations() -> None:
    """The inputs of the weights are the histories of all targets, whichever way the model is called."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(60, 12, 2, generator=draw).cumsum(dim=1)
    y = torch.randn(60, 6, generator=draw)
    model = LinearForecast((12, 2), 6, lookback=12, horizon=3)
    path = PenaltyPath(list(model.parameters()), first=1e-6, last=1e-6, tolerance=1e-9)
    path.curvature = curvature_of(model, (model(x=x) for _ in range(1)))
    assert path.curvature is not None

    def closure() -> torch.Tensor:
        path.zero_grad()
        loss = functional.mse_loss(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    path.step(closure)
    inputs = torch.cat([x.transpose(1, 2).flatten(0, 1), torch.ones(120, 1)], dim=1)
    outputs = y.reshape(60, 3, 2).transpose(1, 2).flatten(0, 1)
    solution = torch.linalg.lstsq(inputs.double(), outputs.double()).solution
    assert torch.allclose(model.weight[0].double(), solution[:12], atol=1e-3)
    assert torch.allclose(model.bias[0, 0].double(), solution[12], atol=1e-3)
    assert path.facts["iterations"] < 10
    several = LinearForecast((12, 2), 6, lookback=12, horizon=3, shared=False)
    assert curvature_of(several, (several(x) for _ in range(1))) is None

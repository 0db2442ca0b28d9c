"""The change of variables of a linear model: the same solution in fewer iterations, and cases without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dlcli.models.linear import Linear
from dlcli.models.linear_forecast import LinearForecast
from dlcli.training.curvature import Curvature, curvature_of, row_weights, second_derivative
from dlcli.training.penalty_path import PenaltyPath


def evaluated(model: nn.Module, *args: Any, times: int = 1, **kwargs: Any) -> Iterator[None]:
    """Evaluate a model, whose rows have equal weights."""
    for _ in range(times):
        model(*args, **kwargs)
        yield None


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
        path.curvature = curvature_of(model, evaluated(model, x))
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
    found = curvature_of(model, evaluated(model, x, codes, times=2))
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
    assert curvature_of(model, evaluated(model, x)) is None
    assert isinstance(curvature_of(model, evaluated(model, x[1:])), Curvature)


def test_one_set_of_weights_for_all_targets_is_solved_in_a_few_iterations() -> None:
    """The inputs of the weights are the histories of all targets, whichever way the model is called."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(60, 12, 2, generator=draw).cumsum(dim=1)
    y = torch.randn(60, 6, generator=draw)
    model = LinearForecast((12, 2), 6, lookback=12, horizon=3)
    path = PenaltyPath(list(model.parameters()), first=1e-6, last=1e-6, tolerance=1e-9)
    path.curvature = curvature_of(model, evaluated(model, x=x))
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
    assert curvature_of(several, evaluated(several, x)) is None


@given(st.integers(0, 1000), st.floats(0, 4))
@settings(deadline=None, max_examples=10)
def test_rows_of_very_different_weights_are_solved_in_a_few_iterations(seed: int, decades: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(80, 12, 1, generator=draw).cumsum(dim=1)
    y = torch.randn(80, 3, generator=draw)
    units = 10 ** (decades * (torch.rand(80, 1, generator=draw) - 0.5))
    model = LinearForecast((12, 1), 3, lookback=12, horizon=3)
    path = PenaltyPath(list(model.parameters()), first=1e-6, last=1e-6, tolerance=1e-9)

    def loss_of(outputs: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(outputs / units, y / units)

    def closure() -> torch.Tensor:
        path.zero_grad()
        loss = loss_of(model(x))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    path.curvature = curvature_of(model, (row_weights(loss_of, model(x)) for _ in range(1)))
    path.second_derivative = second_derivative(loss_of, model(x))
    path.step(closure)
    inputs = torch.cat([x.flatten(1), torch.ones(80, 1)], dim=1)
    solution = torch.linalg.lstsq((inputs / units).double(), (y / units).double()).solution
    best = ((inputs.double() @ solution - y) / units).square().mean()
    assert float(loss_of(model(x).detach())) == pytest.approx(float(best), rel=2e-3)
    assert path.facts["iterations"] < 15


def test_an_absolute_error_gives_no_weights_of_rows() -> None:
    outputs, y = torch.zeros(5, 2), torch.ones(5, 2)
    assert row_weights(lambda one: functional.l1_loss(one, y), outputs) is None

"""Models of series: the rows that they take, gradients, what their forecasts depend on, and exported programs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dlcli.exporting.exported_program import write_program
from dlcli.models.dlinear import DLinear
from dlcli.models.forecasting import interpolation
from dlcli.models.itransformer import ITransformer
from dlcli.models.linear_forecast import LinearForecast
from dlcli.models.nhits import NHiTS
from dlcli.models.patchtst import PatchTST
from dlcli.models.segrnn import SegRNN
from dlcli.preprocessing.model_windows import ModelWindows
from dlcli.training.network import Network

LOOKBACK, HORIZON = 22, 5  # no whole number of patches, segments or pools

MODELS = {
    "linear_forecast": (LinearForecast, {}),
    "dlinear": (DLinear, {"kernel_size": 4}),
    "patchtst": (PatchTST, {"hidden": 8, "feedforward": 16, "patch": 6, "stride": 4, "layers": 2}),
    "patchtst with batch normalization": (
        PatchTST,
        {"hidden": 8, "feedforward": 16, "patch": 6, "stride": 4, "layers": 2, "normalization": "batch"},
    ),
    "segrnn": (SegRNN, {"hidden": 16, "segment": 4}),
    "itransformer": (ITransformer, {"hidden": 16, "feedforward": 16, "heads": 2}),
    "nhits": (NHiTS, {"hidden": 16, "pool": [5, 2, 1], "spacing": [9, 2, 1]}),
}
LINEAR = {"linear_forecast", "dlinear"}

# Targets, quantiles, further columns, and whether they are known ahead.
ROWS = {"one": (1, 1, 0, False), "quantiles": (2, 3, 1, False), "known ahead": (2, 1, 2, True)}


def made(name: str, rows: str = "one") -> tuple[nn.Module, torch.Tensor]:
    """Return a model and rows that it takes."""
    model, arguments = MODELS[name]
    targets, quantiles, others, ahead = ROWS[rows]
    torch.manual_seed(0)
    shape = (LOOKBACK + HORIZON * ahead, targets + others)
    return model(shape, HORIZON * targets * quantiles, LOOKBACK, HORIZON, targets, **arguments), torch.randn(
        6, *shape
    )


def test_nhits_holds_only_the_interpolations_that_it_needs() -> None:
    model, _ = made("nhits")
    held = {name for name, buffer in model.named_buffers() if buffer is not None}
    assert held == {"blocks.0.past", "blocks.0.ahead", "blocks.1.past", "blocks.1.ahead"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", ROWS)
def test_every_parameter_has_a_gradient(name: str, rows: str) -> None:
    model, x = made(name, rows)
    targets, quantiles, _, _ = ROWS[rows]
    outputs = model(x)
    assert outputs.shape == (6, HORIZON * targets * quantiles)
    assert model.eval()(x[:1]).shape == outputs[:1].shape
    (outputs - 1).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_step_by_step(name: str) -> None:
    """With a loss of one step's outputs, only that step's forecasts improve."""
    model, x = made(name, "quantiles")
    model.eval()
    outputs = model(x).reshape(6, HORIZON, 2, 3)
    outputs[:, 1, 0, 2].sum().backward()
    head = [p for n, p in model.named_parameters() if p.grad is not None][-1]
    with torch.no_grad():
        head -= 0.1 * head.grad
    change = (model(x).reshape(outputs.shape) - outputs).abs().amax(dim=0)
    assert change[1, 0, 2] == change.max() > 0


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LINEAR])
def test_columns_that_are_known_ahead_count(name: str) -> None:
    model, x = made(name, "known ahead")
    model.eval()
    other = x.clone()
    other[:, LOOKBACK:, 2:] += 1
    assert not torch.allclose(model(other), model(x))


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_a_wave(name: str) -> None:
    model, _ = made(name)
    phase = torch.rand(32, 1, generator=torch.Generator().manual_seed(1)) * 6
    wave = torch.sin(phase + torch.arange(LOOKBACK + HORIZON) * 0.7)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        (model(wave[:, :LOOKBACK, None]) - wave[:, LOOKBACK:]).square().mean().backward()
        optimizer.step()
    error = (model.eval()(wave[:, :LOOKBACK, None]) - wave[:, LOOKBACK:]).square().mean()
    assert error < 0.05


@pytest.mark.parametrize(
    ("name", "file"), [*((name, "m.pt2") for name in MODELS if name != "dlinear"), ("dlinear", "m.onnx")]
)
def test_programs_take_any_number_of_rows(name: str, file: str, tmp_path: Path) -> None:
    """Each target is a row of its own within the program, relative to its window."""
    own = name in {"itransformer", *LINEAR}
    model, _ = made(name, "quantiles" if own else "one")
    windows = ModelWindows(LOOKBACK, HORIZON, targets=2, known=0, relative="revin", independent=not own)
    x = torch.randn(6, LOOKBACK, 3 if own else 2)
    program = tmp_path / file
    largest = write_program(Network(model, windows), [{"x": x[:4]}, {"x": x[:1]}, {"x": x}], program)
    assert largest < 1e-4
    assert program.exists()


def test_patches_are_normalized_over_rows_as_in_the_paper() -> None:
    """The states behind a layer have means of 0 and variances of 1 over rows and patches, not over their units."""
    model, x = made("patchtst with batch normalization")
    found: list[torch.Tensor] = []
    model.layers[-1].register_forward_hook(lambda _module, _inputs, states: found.append(states))
    model(x)
    (states,) = found
    assert states.mean((0, 1)).abs().max() < 1e-5
    assert (states.var((0, 1), unbiased=False) - 1).abs().max() < 1e-3
    assert states.mean(2).abs().max() > 0.01
    first = model.eval()(x)[:1]
    assert torch.allclose(first, model(x[:1]), atol=1e-6)  # not of the batch, once it is trained


def test_other_data_is_rejected() -> None:
    for model, _ in MODELS.values():
        with pytest.raises(ValueError, match="only forecasts series"):
            model((LOOKBACK, 2), 3)


def test_the_sum_of_trend_and_remainder_is_the_linear_forecast() -> None:
    model, x = made("dlinear", "quantiles")
    torch.nn.init.normal_(model.trend.weight)
    with torch.no_grad():
        model.remainder.weight.copy_(model.trend.weight)
    assert torch.allclose(model(x), model.trend(x), atol=1e-4)


def test_points_are_interpolated() -> None:
    assert interpolation(1, 3).tolist() == [[1, 1, 1]]
    assert interpolation(3, 3) is None  # nothing lies between the points
    assert (torch.tensor([0.0, 4.0]) @ interpolation(2, 4)).tolist() == [0, 1, 3, 4]

"""The callback that records each layer's gradient norm and idle units, and its plot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from dlcli.reports.learning_curves import gradient_curves
from dlcli.training.watch_gradients import WatchGradients

TRAINER: Any = None


def module_of(model: nn.Module) -> Any:
    network = SimpleNamespace(model=model)
    return SimpleNamespace(network=network, evaluated=network, epoch_metrics={})


def step(watch: WatchGradients, module: Any, x: torch.Tensor) -> None:
    module.network.model.zero_grad()
    module.network.model(x).square().mean().backward()
    watch.on_before_optimizer_step(TRAINER, module, None)


def validate(watch: WatchGradients, module: Any, *batches: torch.Tensor) -> None:
    watch.on_validation_epoch_start(TRAINER, module)
    for x in batches:
        module.network.model(x)
    watch.on_validation_epoch_end(TRAINER, module)


def test_norms_are_means_over_the_steps_of_an_epoch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    module, watch, norms = module_of(model), WatchGradients(), []
    for _ in range(3):
        step(watch, module, torch.randn(5, 3))
        norms.append([float(layer.weight.grad.norm()) for layer in (model[0], model[3])])
    watch.on_train_epoch_end(TRAINER, module)
    expected = torch.tensor(norms).mean(dim=0).tolist()
    assert list(module.epoch_metrics) == ["gradient_norm/0", "gradient_norm/3"]
    assert list(module.epoch_metrics.values()) == pytest.approx(expected, rel=1e-6)
    step(watch, module, torch.randn(5, 3))
    watch.on_train_epoch_end(TRAINER, module)  # the next epoch begins anew
    assert module.epoch_metrics["gradient_norm/0"] == pytest.approx(float(model[0].weight.grad.norm()))


def test_an_interrupted_epoch_has_the_figures_of_the_whole() -> None:
    torch.manual_seed(0)
    module = module_of(nn.LSTM(3, 4))
    module.network.model = model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    whole, first, second = WatchGradients(), WatchGradients(), WatchGradients()
    for number in range(4):
        x = torch.randn(5, 3)
        step(whole, module, x)
        if number == 2:
            second.load_state_dict(first.state_dict())
        step(first if number < 2 else second, module, x)
    figures = []
    for watch in (whole, second):
        module = module_of(model)
        watch.on_train_epoch_end(TRAINER, module)
        figures.append(module.epoch_metrics)
    assert figures[0] == figures[1] and len(figures[0]) == 2


@pytest.mark.parametrize(
    ("activation", "bias", "share"),
    [(nn.ReLU(), -100.0, 0.5), (nn.Sigmoid(), 100.0, 0.5), (nn.Tanh(), -100.0, 0.5), (nn.ReLU(), 100.0, 0.0)],
)
def test_units_that_pass_no_gradient_for_any_row_are_idle(
    activation: nn.Module, bias: float, share: float
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 4)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([bias, bias, 0.0, 0.0]))
    module = module_of(nn.Sequential(layer, activation, nn.Linear(4, 1)))
    validate(WatchGradients(), module, torch.randn(20, 3), torch.randn(7, 3))
    assert module.epoch_metrics == {"idle_units/1": share}


def test_a_channel_of_an_image_is_one_unit() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([-0.5, -5.0]))
    x = torch.zeros(2, 1, 3, 3)
    x[0, 0, 1, 1] = 1.0  # a single pixel of a single image passes the first channel
    module = module_of(model)
    validate(WatchGradients(), module, x[:1], x[1:])
    assert module.epoch_metrics == {"idle_units/1": 0.5}


def test_the_plot_has_a_line_for_each_layer() -> None:
    history = {
        "train/loss": [(0, 1.0), (1, 0.5)],
        "gradient_norm/a": [(0, 0.001), (1, 0.002)],
        "gradient_norm/b": [(0, 1.0), (1, 0.5)],
        "idle_units/act": [(0, 0.0), (1, 0.25)],
    }
    figure = gradient_curves(history)
    assert figure is not None
    norms, idle = figure.axes
    assert [list(line.get_ydata()) for line in norms.lines] == [[0.001, 0.002], [1.0, 0.5]]
    assert norms.get_yscale() == "log"
    assert [list(line.get_xdata()) for line in idle.lines] == [[1, 2]]
    assert "(a) is 0.004 times that of the last one (b)" in figure._supxlabel.get_text().replace("\n", " ")  # type: ignore[attr-defined]
    assert gradient_curves({"train/loss": [(0, 1.0)]}) is None


def test_gradients_of_zero_are_on_the_lower_edge() -> None:
    history = {
        "gradient_norm/a": [(0, 1.0), (1, 0.02), (2, 0.0)],
        "gradient_norm/b": [(0, 2.0), (1, 0.5), (2, 0.0)],
    }
    figure = gradient_curves(history)
    assert figure is not None
    (norms,) = figure.axes
    assert [line.get_ydata()[-1] for line in norms.lines] == [0.01, 0.01]
    assert norms.get_ylim()[0] == pytest.approx(0.01)
    assert "the gradient of all layers is 0" in figure._supxlabel.get_text().replace("\n", " ")  # type: ignore[attr-defined]


class LastStep(nn.Module):
    """The gradient by the inputs of a step is `weight` times its factor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * torch.linspace(0.1, 2, x.shape[1])[None, :, None]) @ self.weight


def test_gradients_by_inputs_are_means_over_the_first_and_the_last_tenth_of_the_steps() -> None:
    module, watch = module_of(LastStep()), WatchGradients()
    watch.on_train_start(SimpleNamespace(precision_plugin=None, accumulate_grad_batches=1), module)  # type: ignore[arg-type]
    with torch.no_grad():
        module.network.model(x=torch.randn(2, 20, 3))  # of a validation batch
    for _ in range(2):
        module.network.model(x=torch.randn(4, 20, 3)).sum(dim=1).mean().backward()
    watch.on_train_epoch_end(TRAINER, module)
    watch.on_train_end(TRAINER, module)
    of_one = 3**0.5  # three numbers
    expected = {"input_gradient/first_tenth": 0.15 * of_one, "input_gradient/last_tenth": 1.95 * of_one}
    assert module.epoch_metrics == pytest.approx(expected)
    module.network.model(x=torch.randn(4, 20, 3)).sum().backward()
    watch.on_train_epoch_end(TRAINER, module)
    assert module.epoch_metrics == pytest.approx(expected)  # no longer watched
    figure = gradient_curves(
        {f"{name}": [(0, value)] for name, value in {**module.epoch_metrics, "gradient_norm/a": 1.0}.items()}
    )
    assert figure is not None and len(figure.axes) == 2

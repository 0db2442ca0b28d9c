from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import SeesEveryStep, data, figures, train
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file
from torch import nn

from dlcli.models.mlp import MLP
from dlcli.training.averaging import EMA, SWA, WeightAverage, measure_batch_norm
from dlcli.training.network import Network


def test_an_ema_moves_towards_the_current_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, EMA(decay=0.5))
    seen = []
    for value in (1.0, 2.0, 4.0, 8.0):
        nn.init.constant_(model.weight, value)
        average.update(model, 0, 1, epoch_ends=False)
        average.update(model, 0, 1, epoch_ends=True)
        seen.append(average.model.weight.item())
    # The first weights as they are; then shares of 9/11, 9/12 and 9/13 while the memory is short.
    expected = [1.0]
    for value, share in ((2.0, 9 / 11), (4.0, 9 / 12), (8.0, 9 / 13)):
        expected.append(expected[-1] + share * (value - expected[-1]))
    assert seen == pytest.approx(expected)
    assert EMA(decay=0.5).share(1000) == 0.5


def test_swa_is_the_mean_of_the_last_epochs() -> None:
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, SWA(start=0.5))
    for epoch in range(4):
        nn.init.constant_(model.weight, epoch)
        model.num_batches_tracked.fill_(epoch)
        average.update(model, epoch, 4, epoch_ends=False)
        average.update(model, epoch, 4, epoch_ends=True)
    assert average.updates == 2
    assert average.model.weight.item() == 2.5
    assert average.model.num_batches_tracked == 3


class Weights(Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.seen.append(next(module.network.parameters()).detach().clone())


@pytest.mark.parametrize("averaging", [EMA(0.9), SWA(0.5)], ids=["ema", "swa"])
def test_the_validated_weights_are_the_saved_ones(averaging: Any, tmp_path: Path) -> None:
    weights = Weights()
    # The last epoch counts as the best: which one that is depends on no rounding.
    options = {"averaging": averaging, "keep_last": True}
    network, fitted = train(tmp_path, epochs=4, callbacks=[weights], options=options)
    kept = load_file(fitted.best_weights)
    network.model.load_state_dict(kept)
    val = data(50, seed=1)
    loss = nn.functional.cross_entropy(network.eval()(val), val["y"]).item()
    assert loss == pytest.approx(fitted.history[3]["val/loss"], rel=1e-6)
    if isinstance(averaging, SWA):
        mean = torch.stack(weights.seen[2:]).mean(dim=0)
        assert torch.allclose(kept["layers.1.weight"], mean, atol=1e-6)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert state["average._extra_state"] == (100 if isinstance(averaging, EMA) else 2)


def test_single_steps_and_chunks_give_the_same_bits(tmp_path: Path) -> None:
    runs = [
        train(tmp_path / str(number), callbacks=callbacks, options={"averaging": EMA(0.9)})[1]
        for number, callbacks in enumerate([[], [SeesEveryStep()]])
    ]
    assert figures(runs[0]) == figures(runs[1])
    kept = [load_file(run.best_weights) for run in runs]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


class Steps(Callback):
    """The weights after each step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        weights = module.network.model.named_parameters()
        self.seen.append({name: values.detach().double() for name, values in weights})


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_an_ema_is_that_of_all_steps_and_the_training_is_left_alone(decay: float, tmp_path: Path) -> None:
    steps = Steps()
    options = {"averaging": EMA(decay), "keep_last": True}
    plain, _ = train(tmp_path / "a", lr=0.2, callbacks=[SeesEveryStep()])
    averaged, fitted = train(tmp_path / "b", lr=0.2, callbacks=[steps], options=options)
    for one, other in zip(plain.parameters(), averaged.parameters(), strict=True):
        assert torch.equal(one, other)
    expected, *later = steps.seen
    for number, weights in enumerate(later, start=1):
        share = 1 - min(decay, (1 + number) / (10 + number))
        expected = {name: mean + share * (weights[name] - mean) for name, mean in expected.items()}
    kept = load_file(fitted.best_weights)
    for name, mean in expected.items():
        # An update rounds twice, and what it rounded is forgotten as the weights are: 1 / (1 - decay) updates count.
        largest = max(weights[name].abs().max() for weights in steps.seen).item()
        rounding = torch.finfo(torch.float32).eps * largest / (1 - decay)
        assert (kept[name] - mean).abs().max() <= rounding, name
        assert (kept[name] - later[-1][name]).abs().max() > 1000 * rounding, name


def test_swa_measures_batch_statistics_with_the_averaged_weights() -> None:
    class Layers(nn.Sequential):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x)

    torch.manual_seed(0)
    model = Layers(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    average = WeightAverage(model, SWA(start=0))
    for epoch in range(2):
        nn.init.constant_(model[0].weight, epoch)
        measure = average.update(model, epoch, 2, epoch_ends=True)
    assert measure
    x = torch.randn(64, 3) + 5
    network = Network(average.model).eval()
    before = torch.random.get_rng_state()
    measure_batch_norm(network, model, [{"x": part} for part in x.split(16)])
    assert torch.equal(torch.random.get_rng_state(), before)
    hidden = average.model[0](x)
    assert torch.allclose(average.model[1].running_mean, hidden.mean(dim=0), atol=1e-5)
    assert average.model[1].momentum == 0.1
    assert not any(module.training for module in network.modules())


def test_swa_of_a_model_that_normalises_batches(tmp_path: Path) -> None:
    model = MLP((4,), 2, hidden=16, dropout=0.2, normalization="batch")
    rows = 201  # 25 batches of 8, and a single row, which alone cannot be normalized
    network, fitted = train(tmp_path, epochs=3, options={"averaging": SWA(0)}, model=model, rows=rows)
    network.model.load_state_dict(load_file(fitted.best_weights))
    network.eval()
    # Validation neither changed the statistics nor left rows out at random.
    val = data(50, seed=1)
    loss = nn.functional.cross_entropy(network(val), val["y"]).item()
    assert loss == pytest.approx(fitted.history[fitted.best_epoch]["val/loss"], rel=1e-6)
    norm = next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d))
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    sizes = [8] * 24 + [9]
    for batch in data(rows)["x"].split(sizes):
        network({"x": batch})
    means = torch.stack([part.mean(dim=0) for part in seen])
    assert torch.allclose(norm.running_mean, means.mean(dim=0), atol=1e-5)


def test_frozen_layers_keep_their_statistics() -> None:
    trained = nn.ModuleList([nn.BatchNorm1d(2).requires_grad_(False), nn.BatchNorm1d(2)])

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = trained

        def forward(self, x: torch.Tensor) -> Any:
            return self.layers[1](self.layers[0](x))

    model = Both()
    average = WeightAverage(model, SWA(0))
    x = torch.arange(32.0).reshape(16, 2)
    measure_batch_norm(Network(average.model).eval(), model, [{"x": x}])
    frozen, measured = (layer.running_mean for layer in average.model.layers)
    assert torch.equal(frozen, torch.zeros(2))
    assert torch.allclose(measured, x.mean(dim=0), rtol=1e-4)  # the frozen layer adds 1e-5 to a variance of 1

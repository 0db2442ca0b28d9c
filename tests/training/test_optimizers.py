from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import SeesEveryStep, data, figures, train
from torch import nn

from dlcli.assembly.optimization import make_optimizer, may_fuse
from dlcli.config.compose import compose
from dlcli.config.folders import options, shipped_folder
from dlcli.config.reserved_keys import SUPPLIED
from dlcli.models.linear_forecast import LinearForecast
from dlcli.training.muon import Muon
from dlcli.training.network import Network
from dlcli.training.optimizers import settle_restored

# All whose step needs gradients alone.
OPTIMIZERS = sorted(set(options("optimizer", [shipped_folder()])) - {"grow_trees"})


def node(name: str, *overrides: str) -> dict[str, Any]:
    return compose([f"optimizer={name}", *overrides], [], SUPPLIED).config["optimizer"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    batch = data(64)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch["x"]), batch["y"])
        loss.backward()
        return loss.detach()

    return float(optimizer.step(closure))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_and_resumes_from_its_state(name: str) -> None:
    model, twin = network(), network()
    optimizer, again = (make_optimizer(node(name), each.parameters()) for each in (model, twin))
    losses = [step(model, optimizer) for _ in range(10)]
    assert losses[-1] < losses[0]

    twin.load_state_dict(model.state_dict())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert step(model, optimizer) == step(twin, again)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_decay_spares_biases_and_normalization() -> None:
    groups = make_optimizer(node("adamw"), network().parameters()).param_groups
    decayed, spared = groups
    assert decayed["weight_decay"] == 0.01
    assert all(parameter.ndim == 2 for parameter in decayed["params"])
    assert spared["weight_decay"] == 0
    assert len(spared["params"]) == 4

    everything = make_optimizer(node("adamw", "optimizer.weight_decay_on=all"), network().parameters())
    assert [len(group["params"]) for group in everything.param_groups] == [6]


@pytest.mark.parametrize("name", ["adamw", "muon", "penalty_path"])
def test_biases_of_several_dimensions_are_not_weights(name: str) -> None:
    model = LinearForecast((3, 2), num_outputs=4, lookback=3, horizon=2, shared=False)
    with torch.no_grad():
        model.weight.fill_(1.0), model.bias.fill_(1.0)
    settings = ["optimizer.weight_decay=0.5"] if name != "penalty_path" else []
    optimizer = make_optimizer(node(name, *settings), Network(model).trained_parameters())

    def closure() -> torch.Tensor:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.zeros(())

    optimizer.step(closure)
    assert (model.weight < 1).all()
    assert (model.bias == 1).all()


def test_the_optimizers_own_default_decay_spares_them_too() -> None:
    groups = make_optimizer({"_target_": "torch.optim.AdamW"}, network().parameters()).param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0]


def test_without_decay_there_is_one_group() -> None:
    assert len(make_optimizer(node("adam"), network().parameters()).param_groups) == 1


def test_muon_turns_matrices_and_adamw_the_rest() -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(8, 8))
    optimizer = make_optimizer(node("muon"), model.parameters())
    assert isinstance(optimizer, Muon)
    muon, adamw = optimizer._parts
    assert [p.shape for g in muon.param_groups for p in g["params"]] == [(8, 8)]
    assert sum(len(g["params"]) for g in adamw.param_groups) == 3
    # A scheduler writes into the optimizer's groups: they are the parts' own.
    optimizer.param_groups[0]["lr"] = 0.5
    assert muon.param_groups[0]["lr"] == 0.5
    # An orthogonal update: all directions move alike, though the gradient of one is ten times that of another.
    # Muon's five iterations bring all of them to 0.7 to 1.2.
    before = model[2].weight.detach().clone()
    model[2].weight.grad = torch.linspace(1, 0.1, 8).diag().roll(1, dims=0)
    optimizer.step()
    moved = torch.linalg.svdvals(before - model[2].weight.detach())
    assert moved[0] < 2 * moved[7]


@pytest.mark.parametrize("name", ["lbfgs", "muon", "adamw"])
def test_single_steps_and_chunks_give_the_same_bits(name: str, tmp_path: Path) -> None:
    given = {"make_optimizer": partial(make_optimizer, node(name)), "batch_size": 100}
    chunked, fast = train(tmp_path / "a", options=given)
    stepped, slow = train(tmp_path / "b", options=given, callbacks=[SeesEveryStep()])
    for one, other in zip(chunked.parameters(), stepped.parameters(), strict=True):
        assert torch.equal(one, other)
    assert figures(fast) == figures(slow)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fused_implementations_give_the_same_weights(name: str) -> None:
    model, twin = network(), network()
    twin.load_state_dict(model.state_dict())
    for each in (model, twin):  # batch normalization subtracts it: its gradient is rounding noise
        each[0].bias.requires_grad_(False)
    fused = make_optimizer(node(name), model.parameters(), fuse=True)
    plain = make_optimizer(node(name), twin.parameters())
    assert bool(fused.defaults.get("fused")) == (name == "adam" or name.startswith("adamw"))
    for _ in range(5):
        step(model, fused), step(twin, plain)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chosen", ["fused", "foreach", "capturable"])
def test_the_users_choice_of_an_implementation_wins(chosen: str) -> None:
    optimizer = make_optimizer({**node("adam"), chosen: False}, network().parameters(), fuse=True)
    assert not optimizer.defaults.get("fused")


@pytest.mark.parametrize(
    ("trainer", "fuses"),
    [
        ({"precision": "32-true", "gradient_clip_val": 1.0}, True),
        ({"precision": "bf16-mixed", "gradient_clip_val": None}, True),
        ({"precision": "bf16-mixed", "gradient_clip_val": 1.0}, False),
        ({"precision": "bf16", "gradient_clip_val": 1.0}, False),
        ({"precision": 16, "gradient_clip_val": 1.0}, False),
        ({"precision": 32, "gradient_clip_val": 1.0}, True),
        ({"precision": "16-mixed", "gradient_clip_val": 0.5}, False),
        ({}, True),
    ],
)
def test_gradients_of_a_fused_optimizer_are_not_clipped_in_mixed_precision(
    trainer: dict[str, Any], fuses: bool
) -> None:
    assert may_fuse(trainer) == fuses


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("fused", [False, True])
def test_a_state_of_either_implementation_resumes_with_a_gradient_scaler(name: str, fused: bool) -> None:
    """Runs of earlier versions, which chose no fused implementation, have the state of the other one."""
    model = network()
    before = make_optimizer(node(name), model.parameters(), fuse=fused)
    step(model, before)
    optimizer = make_optimizer(node(name), model.parameters(), fuse=True)
    optimizer.load_state_dict(before.state_dict())
    settle_restored(optimizer, dict(model.named_parameters()))
    scaler = torch.amp.GradScaler("cpu")
    batch = data(64)
    weights = [each.detach().clone() for each in model.parameters()]
    optimizer.zero_grad()
    scaler.scale(nn.functional.cross_entropy(model(batch["x"]), batch["y"])).backward()
    scaler.step(optimizer)
    scaler.update()
    changes = [float((a - b).detach().abs().max()) for a, b in zip(weights, model.parameters(), strict=True)]
    assert 0 < max(changes) < 1  # the scale, 65536, is removed

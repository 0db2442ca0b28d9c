"""Which parameters of a pretrained model train, from which epoch, at which rate; the others do not change."""

from __future__ import annotations

import copy
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import data, figures, fit_recipe
from pytorch_lightning.callbacks import Callback
from safetensors import safe_open
from torch import Tensor, nn

from dlcli.assembly.optimization import make_optimizer, make_schedule
from dlcli.errors import CorruptRun, Interrupted
from dlcli.tasks.multiclass import Multiclass
from dlcli.training.averaging import EMA, SWA, Averaging
from dlcli.training.epoch_state import LAST
from dlcli.training.finetuning import FeatureExtraction, FineTuning, Finetuning, GradualUnfreezing, ProbeFirst
from dlcli.training.fit import FitResult
from dlcli.training.network import Network
from dlcli.training.optimizers import rate_of
from dlcli.training.schedules import Length

ADAM = {"_target_": "torch.optim.AdamW", "lr": 0.01, "weight_decay": 0.1}


class Tower(nn.Module):
    """A backbone of three layers with batch normalization, and a head."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [
            nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU()) for _ in range(3)
        ]
        self.backbone = nn.Sequential(*blocks)
        self.head = nn.Linear(4, 2)

    def feature_settings(self) -> dict[str, Any]:
        return {}

    def features(self, x: Tensor) -> Tensor:
        return self.backbone(x)

    def layers(self, *, coarse: bool) -> list[list[str]]:
        return [[f"{i}.0.weight", f"{i}.0.bias", f"{i}.1.weight", f"{i}.1.bias"] for i in range(3)]

    def forward(self, x: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        return self.head(self.features(x) if features is None else features)  # type: ignore[arg-type]


def network(finetuning: Finetuning) -> Network:
    torch.manual_seed(0)
    return Network(Tower(), None, finetuning)


def train(folder: Path, net: Network, epochs: int, **options: Any) -> FitResult:
    return fit_recipe(
        folder,
        net,
        Multiclass(["no", "yes"], [100, 100], nn.CrossEntropyLoss()),
        data(),
        data(50, seed=1),
        {"max_epochs": epochs},
        make_optimizer=partial(make_optimizer, ADAM),
        batch_size=32,
        **options,
    )


def changed(before: dict[str, Tensor], net: Network) -> set[str]:
    """First parts of the names of what is another now."""
    after = net.model.state_dict()
    return {
        name.rsplit(".", 2)[0] if name[0] == "b" else "head"
        for name in before
        if not torch.equal(before[name], after[name])
    }


def test_a_frozen_backbone_stays_the_same_bits_with_its_statistics(tmp_path: Path) -> None:
    net = network(FeatureExtraction())
    before = copy.deepcopy(net.model.state_dict())
    train(tmp_path, net, 2)
    assert changed(before, net) == {"head"}


@pytest.mark.parametrize("averaging", [None, EMA(0.5)])
def test_statistics_are_kept_while_the_weights_are_trained(
    averaging: Averaging | None, tmp_path: Path
) -> None:
    net = network(FineTuning(backbone_lr=1, keep_statistics=True))
    before = copy.deepcopy(net.model.state_dict())
    train(tmp_path, net, 2, averaging=averaging)
    after = net.model.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if "running" in name or "num_batches" in name}


def test_a_solved_head_has_a_rate_of_its_own() -> None:
    net = network(ProbeFirst(True, backbone_lr=0.1, head_lr=0.2))
    optimizer = make_optimizer(ADAM, net.trained_parameters())
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in net.model.named_parameters()}
    assert found["head.weight"] == pytest.approx(0.002)
    assert found["backbone.0.0.weight"] == pytest.approx(0.001)
    assert rate_of(optimizer) == pytest.approx(0.01)  # that of the optimizer, as in its settings


def test_fine_tuning_gives_each_layer_its_rate() -> None:
    net = network(FineTuning(backbone_lr=0.1, layer_decay=0.5))
    optimizer = make_optimizer(ADAM, net.trained_parameters())
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: (rates[id(p)], decays[id(p)]) for name, p in net.model.named_parameters()}
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert found["head.weight"] == (0.01, 0.1)
    assert found["head.bias"] == (0.01, 0.0)
    for layer, rate in enumerate((0.00025, 0.0005, 0.001)):
        assert found[f"backbone.{layer}.0.weight"] == (pytest.approx(rate), 0.1)
        assert found[f"backbone.{layer}.1.weight"] == (pytest.approx(rate), 0.0)


def test_a_cycle_keeps_the_rates_apart() -> None:
    net = network(FineTuning(backbone_lr=0.1))
    optimizer = make_optimizer(ADAM, net.trained_parameters())
    node = {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "interval": "step"}
    make_schedule(node, optimizer, Length(10, 2, 5))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(10 * optimizer.param_groups[-1]["lr"])


def test_stages_start_to_train_at_their_epochs_from_the_output_on(tmp_path: Path) -> None:
    net = network(GradualUnfreezing([1, 2, 3]))
    seen = []
    for epochs in range(1, 5):
        before = copy.deepcopy(net.model.state_dict())
        train(tmp_path, net, epochs)  # goes on from the epoch before
        seen.append(changed(before, net) - {"head"})
    assert [{name.split(".")[1] for name in names} for names in seen] == [
        set(),
        {"2"},
        {"1", "2"},
        {"0", "1", "2"},
    ]


def test_gradual_unfreezing_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole, parts = network(GradualUnfreezing([1, 2])), network(GradualUnfreezing([1, 2]))
    expected = train(tmp_path / "whole", whole, 4)
    train(tmp_path / "parts", parts, 2)
    parts = network(GradualUnfreezing([1, 2]))
    found = train(tmp_path / "parts", parts, 4, earlier=expected.history[:2])
    assert figures(found) == figures(expected)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


class Kill(Callback):
    """Ends the process, so to speak, at the start of the third epoch."""

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise Interrupted(signal.SIGKILL)


def tensors(file: Path) -> set[str]:
    with safe_open(file, framework="pt") as content:
        return set(content.keys())


@pytest.mark.parametrize("averaging", [None, EMA(0.5), SWA(0)], ids=["last", "ema", "swa"])
def test_a_frozen_backbone_is_in_no_checkpoint_but_in_the_weights(
    tmp_path: Path, averaging: Averaging | None
) -> None:
    options: dict[str, Any] = {"averaging": averaging, "keep_last": True}
    expected = train(tmp_path / "whole", network(FeatureExtraction()), 4, **options)
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", network(FeatureExtraction()), 4, callbacks=[Kill()], **options)
    assert tensors(tmp_path / "parts" / "best-0001.safetensors") == {"head.weight", "head.bias"}
    state = torch.load(tmp_path / "parts" / LAST, weights_only=True)["state_dict"]
    assert not [name for name in state if "backbone" in name]
    net = network(FeatureExtraction())
    found = train(tmp_path / "parts", net, 4, **options)
    assert tensors(found.best_weights) == net.model.state_dict().keys()
    assert found.best_weights.read_bytes() == expected.best_weights.read_bytes()


def test_training_does_not_resume_with_another_backbone(tmp_path: Path) -> None:
    train(tmp_path, network(FeatureExtraction()), 1)
    other = network(FeatureExtraction())
    other.model.get_buffer("backbone.1.1.running_mean").add_(1e-3)
    with pytest.raises(CorruptRun, match="the frozen weights differ from those at the start of the run"):
        train(tmp_path, other, 2)


def test_a_model_without_a_backbone_is_refused() -> None:
    from dlcli.errors import ConfigError
    from dlcli.runner.check import check

    with pytest.raises(ConfigError, match="finetune: MLP has no pretrained backbone"):
        check(["dataset=iris", "model=mlp", "finetune=fine_tuning"])

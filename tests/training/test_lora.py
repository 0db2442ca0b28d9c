"""Adapters of a text model: trained parameters, saved files, and resumption to the same bits."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from fitting import fit_recipe
from torch import nn

from dlcli.assembly.optimization import make_optimizer
from dlcli.errors import ConfigError
from dlcli.models.pretrained_text import PretrainedText
from dlcli.tasks.multiclass import Multiclass
from dlcli.training.averaging import EMA
from dlcli.training.fields import as_fields
from dlcli.training.fit import FitResult
from dlcli.training.lora import LoRA
from dlcli.training.network import Network

BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
GPT2: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 2}


def model(architecture: type = transformers.BertConfig, **arguments: Any) -> PretrainedText:
    arguments = arguments or BERT
    config = architecture(vocab_size=10, **arguments)
    torch.manual_seed(0)
    return PretrainedText(2, "tiny", config.to_json_string(use_diff=False), pretrained=False)


def network(**arguments: Any) -> Network:
    return Network(model(), None, LoRA(**arguments))


def fields(rows: int = 64, seed: int = 0) -> Any:
    x = torch.randint(4, 10, (rows, 6), generator=torch.Generator().manual_seed(seed))
    return as_fields({"x": x, "y": (x == 4).any(1).long()})


def train(folder: Path, net: Network, epochs: int, **options: Any) -> FitResult:
    return fit_recipe(
        folder,
        net,
        Multiclass(["no", "yes"], [50, 50], nn.CrossEntropyLoss()),
        fields(),
        fields(32, seed=1),
        {"max_epochs": epochs},
        make_optimizer=partial(make_optimizer, {"_target_": "torch.optim.AdamW", "lr": 0.01}),
        batch_size=16,
        keep_last=True,
        **options,
    )


def outputs(net: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return net.eval()(fields()["x"][:])


def test_adapters_and_head_train_and_nothing_else(tmp_path: Path) -> None:
    net = network(rank=4)
    before = copy.deepcopy(net.model.state_dict())
    train(tmp_path, net, 1)
    changed = {
        name for name, values in net.model.state_dict().items() if not torch.equal(values, before[name])
    }
    assert changed == {name for name in before if "lora_" in name or name.startswith("head.")}
    # 2 blocks, query and value, A and B of 4 x 16
    assert sum(p.numel() for p in net.model.backbone.parameters() if p.requires_grad) == 2 * 2 * 2 * 4 * 16


@pytest.mark.parametrize("averaging", [None, EMA(0.5)], ids=["last", "averaged"])
def test_a_saved_model_has_no_adapters_and_gives_the_same_outputs(
    tmp_path: Path, averaging: EMA | None
) -> None:
    from safetensors.torch import load_model

    net = network()
    fitted = train(tmp_path, net, 2, averaging=averaging)
    saved = model()
    load_model(saved, fitted.best_weights)  # strict: every name, and no other
    assert not torch.allclose(outputs(saved), outputs(model()), atol=1e-3)
    val = fields(32, seed=1)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(saved.eval()(val["x"][:]), val["y"][:])
    assert float(loss) == pytest.approx(fitted.history[-1]["val/loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("make", "targets"),
    [(model, "all-linear"), (partial(model, transformers.GPT2Config, **GPT2), None)],
    ids=["all-linear", "gpt2"],
)
def test_merging_leaves_the_model_alone(make: Callable[[], PretrainedText], targets: Any) -> None:
    net = Network(make(), None, LoRA(target_modules=targets))
    for name, parameter in net.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    before = copy.deepcopy(net.model.state_dict())
    merged = net.model_to_keep()
    assert merged.state_dict().keys() == make().state_dict().keys()
    assert torch.allclose(outputs(merged), outputs(net.model), atol=1e-4)
    assert not torch.allclose(outputs(merged), outputs(make()), atol=1e-2)
    assert all(torch.equal(values, before[name]) for name, values in net.model.state_dict().items())


@pytest.mark.parametrize("averaging", [None, EMA(0.5)], ids=["last", "averaged"])
def test_training_resumes_to_the_same_bits(tmp_path: Path, averaging: EMA | None) -> None:
    whole, parts = network(), network()
    expected = train(tmp_path / "whole", whole, 3, averaging=averaging)
    train(tmp_path / "parts", parts, 1, averaging=averaging)
    parts = network()
    found = train(tmp_path / "parts", parts, 3, averaging=averaging)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)
    assert found.best_weights.read_bytes() == expected.best_weights.read_bytes()


def test_layers_that_are_not_there_are_reported_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"bert has no such layers.*\n?.*dense, key, query, value"):
        network(target_modules=["q_proj"])


def test_a_backbone_that_is_not_of_transformers_is_refused() -> None:
    from dlcli.models.pretrained_image import PretrainedImage

    images = PretrainedImage((3, 32, 32), 2, "test_resnet", weights=None)
    with pytest.raises(
        ConfigError, match=r"PretrainedImage is not a transformers model.*\n?.*pretrained_text"
    ):
        Network(images, None, LoRA())


def test_a_missing_peft_is_reported_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"peft is not installed"):
        network()

"""Pretrained image models: shapes, weights from files, errors and hints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from dlcli.errors import ConfigError
from dlcli.inference.saved_model import load_model
from dlcli.models.pretrained_image import PretrainedImage
from dlcli.models.timm_catalog import PretrainedModel, pretrained_models
from dlcli.runner.check import check
from dlcli.runner.evaluate import evaluate
from dlcli.runner.train import train

# One of timm's tiny models for tests.
TINY = "test_resnet"


def make(shape: tuple[int, int, int] = (3, 12, 12), **arguments: Any) -> PretrainedImage:
    torch.manual_seed(0)
    return PretrainedImage(shape, 4, **{"architecture": TINY, "weights": None, "input_size": 32, **arguments})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model's weights, with a head for 7 classes."""
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(TINY, num_classes=7).state_dict(), file)
    return file


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_and_number_of_channels(channels: int) -> None:
    model = make((channels, 12, 9), hidden=5).eval()
    x = torch.randint(0, 256, (2, channels, 12, 9), dtype=torch.uint8)
    assert model(x).shape == (2, 4)
    assert torch.equal(model(x=None, features=model.features(x)), model(x))


def test_pixels_are_scaled_as_in_the_weights_training() -> None:
    model = make((3, 32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).eval()
    seen: list[torch.Tensor] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    assert seen[0].unique().tolist() == [2.0]
    own = timm.get_pretrained_cfg(TINY)
    assert make().mean.flatten().tolist() == pytest.approx(own.mean)


def test_weights_of_a_file_are_those_of_the_backbone(weights: Path, tmp_path: Path) -> None:
    model = make(weights=str(weights))
    state = timm.create_model(TINY, num_classes=7)
    torch.save({"state_dict": {f"module.{k}": v for k, v in torch_state(weights).items()}}, tmp_path / "t.pt")
    other = make(weights=str(tmp_path / "t.pt"))
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, torch_state(weights)[name])
        assert torch.equal(value, other.backbone.state_dict()[name])
    assert len(state.state_dict()) > len(model.backbone.state_dict())


def torch_state(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def test_mismatched_weights_are_listed(weights: Path, tmp_path: Path) -> None:
    state = torch_state(weights)
    state["extra.weight"] = torch.zeros(1)
    state["conv1.0.weight"] = state["conv1.0.weight"][:2]
    del state["layer1.0.bn1.weight"]
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError) as caught:
        make(weights=str(tmp_path / "other.safetensors"))
    text = str(caught.value)
    assert (
        "1 missing: layer1.0.bn1.weight; 1 not in the model: extra.weight; 1 of another shape: conv1.0"
        in text
    )
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pickled.pt")
    with pytest.raises(ConfigError, match="need unpickling are not opened"):
        make(weights=str(tmp_path / "pickled.pt"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"architecture": "test_resnt"},
            ("architecture", "timm has no model test_resnt", "Did you mean test_resnet"),
        ),
        (
            {"architecture": "resnet50.a1_in1"},
            ("architecture", "resnet50 has no weights a1_in1", "Did you mean resnet50.a1_in1k"),
        ),
        (
            {"arguments": {"drop_rat": 0.1}},
            (
                "arguments.drop_rat",
                "test_resnet has no argument drop_rat",
                "Did you mean model.arguments.drop_rate?",
            ),
        ),
        (
            {"arguments": {"in_chans": 1}},
            ("arguments.in_chans", "is set by dlcli itself", "It follows from the data's channels."),
        ),
        (
            {"weights": "nowhere.pt"},
            ("weights", "there is no file nowhere.pt", "Give an existing file, a run, hub"),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_are_found_without_building(
    arguments: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    (problem,) = PretrainedImage.mistakes({"architecture": TINY, "weights": None, **arguments})
    assert (problem.where, problem.message) == expected[:2]
    assert problem.hint.startswith(expected[2])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "hf-hub:timm/resnet18.a1_in1k",
            "Set timm's models by name: model.architecture=resnet18.a1_in1k",
        ),
        (
            "hf_hub:somebody/birds@v2",
            "Download it (hf download somebody/birds --revision v2 --local-dir birds), and set the architecture "
            "named in its config.json: model.architecture=NAME model.weights=birds/model.safetensors",
        ),
        (
            "local-dir:saved",
            "Give model.architecture=test_resnet model.weights=saved/model.safetensors 'model.mean=[0.5, 0.5, 0.5]'",
        ),
        (
            "local-dir:nowhere",
            "nowhere has no config.json with an architecture: set model.architecture=NAME model.weights=FILE",
        ),
    ],
    ids=["timm's own", "another's", "a folder", "no folder"],
)
def test_a_location_instead_of_an_architecture_gets_a_hint(name: str, expected: str) -> None:
    saved = Path("saved")
    saved.mkdir()
    described = {"architecture": TINY, "pretrained_cfg": {"mean": [0.5, 0.5, 0.5]}}
    (saved / "config.json").write_text(json.dumps(described))
    (saved / "model.safetensors").touch()
    (problem,) = PretrainedImage.mistakes({"architecture": name})
    assert (problem.message, problem.hint) == (f"{name} is a location, not an architecture", expected)


def test_mistakes_are_reported_before_the_rows_are_read() -> None:
    with pytest.raises(ConfigError) as caught:
        check(
            ["dataset=mnist", "dataset.root=absent", "model=pretrained_image", "model.architecture=resnet5"]
        )
    assert [problem.where for problem in caught.value.problems][:1] == ["model.architecture"]


def test_unavailable_weights_are_reported_with_what_to_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"HF_HUB_OFFLINE is set\)\n.*hf download timm/test_resnet.r160_in1k"
    ):
        make(weights="hub")


def test_a_run_is_loaded_without_the_initial_weights_file(weights: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(weights.read_bytes())
    result = train(
        [
            "model=pretrained_image", f"model.architecture={TINY}", f"model.weights='{mine}'", "model.input_size=16",
            "trainer=debug", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/runs'",
        ]
    )  # fmt: skip
    mine.unlink()
    requirements = (result.run_dir / "model" / "requirements.txt").read_text().splitlines()
    assert f"timm=={timm.__version__}" in requirements
    model = load_model(result.run_dir / "model")
    backbone = model.network.model.backbone.state_dict()  # type: ignore[union-attr]
    state = torch_state(weights)
    assert all(torch.equal(value, state[name]) for name, value in backbone.items() if "conv1.0" not in name)
    assert evaluate(str(result.run_dir)).values["test/loss"] == result.values["test/loss"]


def test_the_catalog_equals_timm() -> None:
    found = {model.name: model for model in pretrained_models("test_resnet")}
    count = sum(parameter.numel() for parameter in timm.create_model(TINY).parameters())
    assert found["test_resnet.r160_in1k"] == PretrainedModel("test_resnet.r160_in1k", count, 160)
    assert {model.name for model in pretrained_models()} == set(timm.list_pretrained())
    assert all(model.name.startswith("vgg1") for model in pretrained_models("vgg1*"))

"""Models of segmentation-models-pytorch: weights from files, features, freezing, and names that do not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dlcli.errors import ConfigError
from dlcli.models.encoder_decoder import EncoderDecoder

pytest.importorskip("segmentation_models_pytorch", reason="needs pip install segmentation-models-pytorch")
timm = pytest.importorskip("timm", reason="needs pip install timm")

ENCODER = "mobilenetv3_small_050"


def model_of(weights: str | None = None, **more: Any) -> EncoderDecoder:
    torch.manual_seed(0)
    arguments = {"decoder_channels": [16, 16, 8, 8, 8]} if "architecture" not in more else {}
    return EncoderDecoder(
        (3, 40, 56), 4, encoder=ENCODER, weights=weights, arguments=arguments, **more
    ).eval()


@pytest.mark.parametrize("architecture", ["unet", "fpn", "deeplabv3plus"])
def test_outputs_have_the_size_of_the_images_and_follow_from_features(architecture: str) -> None:
    model = model_of(architecture=architecture)
    x = torch.randint(0, 256, (2, 3, 40, 56)).byte()
    outputs = model(x)
    assert outputs.shape == (2, 4, 40, 56)
    features = model.features(x)
    assert features.ndim == 2
    torch.testing.assert_close(model(features=features), outputs)


def test_weights_of_a_file_are_those_of_the_encoder(tmp_path: Path) -> None:
    whole = timm.create_model(ENCODER)
    save_file(whole.state_dict(), tmp_path / "timm.safetensors")
    model = model_of(str(tmp_path / "timm.safetensors"))
    assert torch.equal(model.backbone.model.conv_stem.weight, whole.conv_stem.weight)
    del (bad := dict(whole.state_dict()))["conv_stem.weight"]
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(ConfigError, match=f"does not fit {ENCODER}"):
        model_of(str(tmp_path / "bad.safetensors"))


def test_layers_are_all_parameters_of_the_encoder() -> None:
    model = model_of()
    names = [name for layer in model.layers(coarse=True) for name in layer]
    assert sorted(names) == sorted(name for name, _ in model.backbone.named_parameters())
    assert len(model.layers(coarse=True)) < len(model.layers(coarse=False))


def test_names_that_do_not_exist() -> None:
    found = list(
        EncoderDecoder.mistakes({"architecture": "unett", "encoder": "mobilenet_v9", "weights": "a.pth"})
    )
    assert [problem.where for problem in found] == ["architecture", "encoder", "weights"]
    assert "unet" in found[0].hint
    with pytest.raises(ConfigError, match="unet cannot be built with the encoder"):
        EncoderDecoder((3, 8, 8), 2, encoder=ENCODER, weights=None, arguments={"no_such": 1})

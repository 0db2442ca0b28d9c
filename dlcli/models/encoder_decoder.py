"""Models of segmentation-models-pytorch: a timm encoder and a decoder with outputs for each pixel (Iakubovskii)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from dlcli.config.suggest import did_you_mean, hint
from dlcli.errors import ConfigError, Problem, first_line
from dlcli.models.hub import check_cached
from dlcli.models.timm_backbone import FeatureMaps, load_timm_weights
from dlcli.models.timm_model import TimmOptions, configuration_of


class EncoderDecoder(FeatureMaps):
    """A pretrained image encoder with a decoder for segmentation.

    Images are bytes (or floats from 0 to 255), which the model scales as in the weights' training, and pads.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits for each pixel.
        architecture: the library's name: `unet`, `fpn`, `deeplabv3plus`, `segformer`, ...
        encoder: timm's name of a model that returns features of several sizes, such as `mobilenetv2_100`.
        options: fields of `TimmOptions`; `arguments` are those of the architecture and the encoder, such as
            `decoder_channels`.
    """

    targets: ClassVar = {"segmentation"}
    named_by: ClassVar = "encoder"
    requires: ClassVar = ("segmentation-models-pytorch", "timm")

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        architecture: Annotated[str, MinLen(1)] = "unet",
        encoder: Annotated[str, MinLen(1)] = "mobilenetv2_100",
        **options: Annotated[Any, TimmOptions],
    ) -> None:
        super().__init__()
        asked, (channels, *size) = TimmOptions(**options), input_shape
        self.set_size(*size)
        config = configuration_of(encoder, self.named_by)
        if asked.to_load == "hub":
            check_cached(config.hf_hub_id, encoder, "model.weights")
        made = _made(
            architecture, encoder, channels, num_outputs, asked.to_load == "hub", asked.arguments or {}
        )
        self.backbone = made.encoder
        self.head = nn.ModuleDict({"decoder": made.decoder, "output": made.segmentation_head})
        if asked.file is not None:
            load_timm_weights(
                self.backbone.model, asked.file, encoder, prefix="backbone.model.", key=self.named_by
            )
        self.set_images(asked, channels, config)
        self._settings = {"architecture": architecture, "encoder": encoder, **(asked.arguments or {})}
        sides = [side + pad for side, pad in zip(size, self.padding, strict=True)]
        depths, strides = self.backbone.out_channels, [1, *made.encoder.model.feature_info.reduction()]
        strides = [2**step for step in range(len(depths))] if len(strides) != len(depths) else strides
        self._shapes = [
            (depth, *(side // stride for side in sides))
            for depth, stride in zip(depths, strides, strict=True)
        ]

    def feature_settings(self) -> dict[str, Any]:
        """Return all settings that the features depend on besides the encoder's weights."""
        scale = [self.mean.flatten().tolist(), self.std.flatten().tolist()] if self.takes_raw else None
        return {**self._settings, "scale": scale}

    def features(self, x: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` to the encoder's features of all sizes, flattened and concatenated, `(N, F)`."""
        return torch.cat([values.flatten(1) for values in self._encoded(x)], dim=1)

    def _encoded(self, x: Tensor) -> list[Tensor]:
        encoded: list[Tensor] = self.backbone(self.padded(x))
        return encoded

    def forward(self, x: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Map images, or their features, to `(N, num_outputs, H, W)`."""
        if features is None:
            assert x is not None
            height, width = x.shape[-2:]
            encoded = self._encoded(x)
        else:
            height, width = self.height, self.width
            parts = features.split([prod(shape) for shape in self._shapes], dim=1)
            encoded = [part.unflatten(1, shape) for part, shape in zip(parts, self._shapes, strict=True)]
        outputs = self.head["output"](self.head["decoder"](encoded))
        return outputs[..., :height, :width]

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Return the names of the encoder's parameters by layer, in the order of its modules; `coarse`: by stage."""
        found: dict[str, list[str]] = {}
        for name, _ in self.backbone.named_parameters():
            found.setdefault(".".join(name.split(".")[: 3 if coarse else 4]), []).append(name)
        return list(found.values())

    @classmethod
    def mistakes(cls, arguments: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield problems of well-typed arguments: names that the libraries would reject when building the model."""
        architecture = arguments.get("architecture", "unet")
        known: list[str] = []
        with suppress(ConfigError):  # without the library, building the model says how to install it
            known = list(_library().MODEL_ARCHITECTURES_MAPPING)
        if known and architecture not in known:
            yield Problem(
                f"segmentation-models-pytorch has no architecture {architecture}",
                "architecture",
                hint(did_you_mean(architecture, known), f"It has {', '.join(known)}."),
            )
        yield from super().mistakes(arguments)


def _made(
    architecture: str, encoder: str, channels: int, classes: int, pretrained: bool, options: Mapping[str, Any]
) -> Any:
    try:
        return _library().create_model(
            architecture,
            encoder_name=f"tu-{encoder}",
            encoder_weights="imagenet" if pretrained else None,
            in_channels=channels,
            classes=classes,
            **options,
        )
    except ConfigError:
        raise
    except Exception as error:  # the libraries raise many types for incompatible parts
        raise ConfigError(
            f"{architecture} cannot be built with the encoder {encoder}: {first_line(error)}",
            "model",
            "Choose another encoder or architecture, or change model.arguments.",
        ) from error


def _library() -> Any:
    try:
        import segmentation_models_pytorch
    except ModuleNotFoundError as error:
        if error.name != "segmentation_models_pytorch":
            raise
        raise ConfigError(
            "segmentation-models-pytorch is not installed", "model", "pip install segmentation-models-pytorch"
        ) from error
    return segmentation_models_pytorch

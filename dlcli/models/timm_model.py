"""What models with a backbone of timm share: their options, and the form of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.files.paths import typed
from dlcli.models.weights import of_whole_model, read_weights


@dataclass(frozen=True)
class TimmOptions:
    """Options of a model with a backbone of timm.

    Attributes:
        weights: a file with the backbone's weights, or those of a run of the same model; `hub` downloads timm's
            weights; None initializes at random.
        normalization: `own` scales pixels by the mean and deviation that the weights were trained with, `data` by those
            of the training rows.
        mean: mean of each channel, from 0 to 1; None takes timm's value for the backbone.
        std: deviation of each channel; None takes timm's value for the backbone.
        arguments: further arguments of the backbone.
        restored: skip loading the backbone's weights, because they will be loaded from a run.
    """

    weights: str | None = "hub"
    normalization: Literal["own", "data"] = "own"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    arguments: Mapping[str, Any] | None = None
    restored: bool = False

    @property
    def to_load(self) -> str | None:
        """The weights to load, if any: a check on the meta device reads files, but downloads nothing."""
        if self.restored or (self.weights == "hub" and torch.get_default_device().type == "meta"):
            return None
        return self.weights

    @property
    def file(self) -> Path | None:
        """The file of the weights to load, if there is one."""
        return None if self.to_load in (None, "hub") else typed(str(self.to_load))


class TimmModel(nn.Module):
    """A model with a backbone of timm, which scales pixels as in the weights' training.

    Images are bytes, or floats from 0 to 255.

    Attributes:
        backbone: timm's model.
        takes_raw: whether this model scales the pixels, or the preprocessing does.
        mean: mean of each channel `(1, C, 1, 1)`, from 0 to 1.
        std: deviation of each channel `(1, C, 1, 1)`.
    """

    accepts: ClassVar = {"image"}
    requires: ClassVar[tuple[str, ...]] = ("timm",)
    # Values of `weights` that are neither a file nor a run.
    weights_words: ClassVar = {"hub": "downloads timm's weights", "null": "initializes at random"}
    backbone: Any
    mean: Tensor
    std: Tensor

    def set_images(self, options: TimmOptions, channels: int, config: Any) -> None:
        """Set how the backbone takes images: in channels-last memory format, which is faster on most devices, and
        scaled by mean and deviation, those of the options or of timm's configuration of the backbone.

        Raises:
            ConfigError: the weights are those of a run that scaled pixels in another way.
        """
        self.backbone.to(memory_format=torch.channels_last)
        self.takes_raw = options.normalization == "own"
        scale = {}
        for name, given in (("mean", options.mean), ("std", options.std)):
            values = torch.tensor(given or getattr(config, name), dtype=torch.float32, device="cpu")
            if len(values) != channels:  # statistics of colour images for greyscale images
                values = values.mean().expand(channels)
            scale[name] = values.clone().reshape(1, -1, 1, 1)
            self.register_buffer(name, scale[name].to(torch.get_default_device()))
        if self.takes_raw and (file := options.file) is not None:
            _check_scale(file, scale)

    def scaled(self, x: Tensor) -> Tensor:
        """Return images `(N, C, H, W)` as the backbone takes them."""
        return (x.to(self.mean.dtype) / 255 - self.mean) / self.std if self.takes_raw else x


def _check_scale(file: Path, scale: Mapping[str, Tensor]) -> None:
    """Raise an error if a run's weights were trained with another pixel mean or deviation.

    Raises:
        ConfigError: the values differ; the hint gives those of the run.
    """
    if not of_whole_model(file):
        return
    weights = read_weights(file, "model.weights")
    other = [
        name
        for name, values in scale.items()
        if name in weights
        and weights[name].shape == values.shape
        and not torch.allclose(weights[name].float(), values)
    ]
    if other:
        give = [f"model.{name}={[round(v, 6) for v in weights[name].flatten().tolist()]}" for name in scale]
        raise ConfigError(
            f"the run's weights were trained with another pixel {' and '.join(other)}",
            "model.weights",
            f"Give {' '.join(give)}.".replace(", ", ","),
        )


def timm_package() -> Any:
    """Return timm, or raise a ConfigError that says how to install it."""
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ConfigError("timm is not installed", "model", "pip install timm") from error
    return timm


def configuration_of(name: str, key: str) -> Any:
    """Return timm's configuration of a model.

    Raises:
        ConfigError: timm has no such model; `key` is the setting that names it.
    """
    config = timm_package().get_pretrained_cfg(name)
    if config is None:
        raise ConfigError(
            f"timm has no model {name}", f"model.{key}", "List them with: dlcli list pretrained."
        )
    return config

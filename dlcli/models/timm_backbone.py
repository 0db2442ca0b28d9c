"""Models on a timm backbone with features of several sizes, with weights from a file or the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.errors import ConfigError, Problem, first_line
from dlcli.models.hub import check_cached
from dlcli.models.pretrained_image import no_architecture
from dlcli.models.timm_model import TimmModel, TimmOptions, configuration_of, timm_package
from dlcli.models.weights import compare_weights, of_whole_model, read_weights, weights_problem

# Prefixes of the weights of timm's heads.
_UNUSED = ("classifier.", "head.", "fc.", "conv_head.", "bn2.", "norm.", "head_norm.", "norm_pre.")
# Images are padded to a multiple of this: the coarsest features of a backbone are of squares of 32 pixels.
_MULTIPLE = 32


class FeatureMaps(TimmModel):
    """A model on the backbone's features of several sizes; images are padded on the right and at the bottom."""

    # The argument with timm's name of the backbone.
    named_by: ClassVar = "backbone"

    def set_size(self, height: int, width: int) -> None:
        """Set the size of the images, and with it the padding."""
        self.height, self.width = height, width
        self.padding = -height % _MULTIPLE, -width % _MULTIPLE

    def set_backbone(self, name: str, input_shape: tuple[int, int, int], options: TimmOptions) -> None:
        """Set the size of the images, the backbone, and the scale of its pixels.

        Raises:
            ConfigError: the backbone cannot be built, or the weights do not fit.
        """
        channels, *size = input_shape
        self.set_size(*size)
        self.backbone, config = made_backbone(name, channels, options)
        self.set_images(options, channels, config)

    def padded(self, x: Tensor) -> Tensor:
        """Return scaled images `(N, C, H', W')` whose sides are multiples of 32, also of parts of images."""
        down, right = (-side % _MULTIPLE for side in x.shape[-2:])
        return functional.pad(self.scaled(x), (0, right, 0, down))

    @classmethod
    def mistakes(cls, arguments: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield problems of well-typed arguments: names that timm would reject when building the model."""
        name = arguments.get(cls.named_by, "")
        if name and (problem := no_architecture(name)):
            yield Problem(problem.message, cls.named_by, problem.hint)
        yield from weights_problem(arguments.get("weights"))


def made_backbone(name: str, channels: int, options: TimmOptions) -> tuple[nn.Module, Any]:
    """Return a timm model that maps images to features of several sizes, and timm's configuration of it.

    Args:
        name: timm's name.
        channels: channels of an image.
        options: the weights, and further arguments of timm.

    Raises:
        ConfigError: timm has no such model, it has no features of several sizes, or the weights do not fit.
    """
    config = configuration_of(name, "backbone")
    from_hub = options.to_load == "hub"
    if from_hub:
        check_cached(config.hf_hub_id, name, "model.weights")
    try:
        made = timm_package().create_model(
            name, pretrained=from_hub, features_only=True, in_chans=channels, **(options.arguments or {})
        )
    except ConfigError:
        raise
    except Exception as error:  # the library raises many types for incompatible parts
        raise ConfigError(
            f"{name} cannot be a backbone: {first_line(error)}", "model.backbone", "Choose another one."
        ) from error
    if options.file is not None:
        load_timm_weights(made, options.file, name)
    return made, config


def load_timm_weights(
    model: nn.Module, file: Path, name: str, *, prefix: str = "backbone.", key: str = "backbone"
) -> None:
    """Load weights from a file of timm's model, or of a run whose model has them below `prefix`.

    Args:
        model: timm's model.
        file: the weights.
        name: timm's name.
        prefix: prefix of the weights' names in a run.
        key: the setting that names the model, for messages.

    Raises:
        ConfigError: names or shapes do not match.
    """
    weights = read_weights(file, "model.weights")
    if of_whole_model(file):
        weights = {key.removeprefix(prefix): w for key, w in weights.items() if key.startswith(prefix)}
    misfit = compare_weights(model, weights, lambda key: key.startswith(_UNUSED))
    if misfit:
        raise ConfigError(
            f"{file} does not fit {name}: {misfit}",
            "model.weights",
            f"Choose the {key} of the weights (model.{key}=...).",
        )
    if torch.get_default_device().type != "meta":
        model.load_state_dict(weights, strict=False)

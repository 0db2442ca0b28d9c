"""A timm model as a backbone: features of several sizes, with weights from a file or the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dlcli.errors import ConfigError, first_line
from dlcli.models.hub import check_cached
from dlcli.models.timm_model import TimmOptions, timm_package
from dlcli.models.weights import compare_weights, of_whole_model, read_weights

# Prefixes of the weights of timm's heads.
_UNUSED = ("classifier.", "head.", "fc.", "conv_head.", "bn2.", "norm.", "head_norm.", "norm_pre.")
_LIST = "List them with: dlcli list pretrained."


def made_backbone(name: str, channels: int, options: TimmOptions) -> tuple[nn.Module, Any]:
    """Return a timm model that maps images to features of several sizes, and timm's configuration of it.

    Args:
        name: timm's name.
        channels: channels of an image.
        options: the weights, and further arguments of timm.

    Raises:
        ConfigError: timm has no such model, it has no features of several sizes, or the weights do not fit.
    """
    config = timm_package().get_pretrained_cfg(name)
    if config is None:
        raise ConfigError(f"timm has no model {name}", "model.backbone", _LIST)
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

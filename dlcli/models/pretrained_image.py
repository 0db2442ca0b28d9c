"""Pretrained image models of timm with a new head (Wightman, PyTorch Image Models, 2019)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices, did_you_mean, hint, near, question
from dlcli.errors import ConfigError, Problem, first_line
from dlcli.files.paths import typed
from dlcli.formatting import shell_line
from dlcli.models import layers as shared
from dlcli.models.hub import check_cached
from dlcli.models.layers import Activation, Share, Size
from dlcli.models.meta_device import on_meta
from dlcli.models.timm_catalog import pretrained_models
from dlcli.models.timm_model import TimmModel, TimmOptions, configuration_of, timm_package
from dlcli.models.weights import compare_weights, of_whole_model, read_weights

# Names of timm's weight files.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_FILES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")

# Arguments of timm.create_model that dlcli sets, and their source.
_OURS = {
    "pretrained": "model.weights", "num_classes": "the data's classes", "in_chans": "the data's channels",
    "img_size": "model.input_size", "pretrained_cfg": "model.mean and model.std", "features_only": "model.hidden",
    "pretrained_cfg_overlay": "model.mean and model.std", "checkpoint_path": "model.weights",
    "global_pool": "model.pooling",
}  # fmt: skip


class PretrainedImage(TimmModel):
    """A timm backbone with global pooling, and a new head.

    Images are bytes (or floats from 0 to 255). The model scales them as in the training of the weights, and resizes
    images of other sizes on its device.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        architecture: timm's name, with a tag if there are several sets of weights: `resnet50`, `resnet50.a1_in1k`.
        input_size: side in pixels that images are resized to; None takes the size that the weights were trained with.
        pooling: pooling of the backbone's last states to one vector; None takes timm's default for the model.
        hidden: number of units of a dense layer before the output; 0 omits it.
        activation: activation function of the dense layer.
        dropout: dropout rate before the output.
        options: fields of `TimmOptions`; `arguments` are those of the architecture, such as `pad_type`.
    """

    # Settings that make the head linear, so that it can be solved on the features of all rows.
    linear_head: ClassVar = {"hidden": 0, "dropout": 0}
    search_space: ClassVar = {
        "hidden": "0,128,512",
        "dropout": "interval(0,0.5)",
    }

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        architecture: Annotated[str, MinLen(1)],
        input_size: Size | None = None,
        pooling: str | None = None,
        hidden: Annotated[int, Ge(0)] = 0,
        activation: Activation = "relu",
        dropout: Share = 0.0,
        **options: Annotated[Any, TimmOptions],
    ) -> None:
        super().__init__()
        asked, channels = TimmOptions(**options), input_shape[0]
        self.random_backbone = "" if asked.weights else "model.weights=null"
        arguments = {**(asked.arguments or {}), **({"global_pool": pooling} if pooling else {})}
        self.backbone, config = _backbone(architecture, asked, channels, input_size, arguments)
        self._settings = {"architecture": architecture, "channels": channels, **arguments}
        self.input_size = input_size or int(config.input_size[-1])
        self.interpolation = (
            config.interpolation if config.interpolation in ("bilinear", "bicubic") else "bicubic"
        )
        self.set_images(asked, channels, config)
        width = _width(self.backbone)
        dense = [nn.Linear(width, hidden), shared.activation(activation)] if hidden else []
        self.head = nn.Sequential(*dense, *shared.dropout(dropout), nn.Linear(hidden or width, num_outputs))

    def feature_settings(self) -> dict[str, Any]:
        """Return all settings that the features depend on besides the backbone's weights."""
        scale = [self.mean.flatten().tolist(), self.std.flatten().tolist()] if self.takes_raw else None
        return {**self._settings, "input_size": self.input_size, "scale": scale}

    def features(self, x: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` to the backbone's features `(N, F)`."""
        x = self.scaled(x)
        if x.shape[-2:] != (self.input_size, self.input_size):
            size = (self.input_size, self.input_size)  # on a CPU, resizing requires full precision
            resized = nn.functional.interpolate(x.float(), size, mode=self.interpolation, antialias=True)
            x = resized.to(x.dtype)
        return self.backbone(x)

    def forward(self, x: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Map images, or their features, to `(N, num_outputs)`."""
        if features is None:
            assert x is not None
            features = self.features(x)
        return self.head(features)

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Return the names of the backbone's parameters by layer, as timm groups them for the architecture."""
        from timm.models import group_parameters

        matcher: Any = self.backbone.group_matcher
        grouped = group_parameters(self.backbone, matcher(coarse=coarse))
        return [list(grouped[layer]) for layer in sorted(grouped)]

    @classmethod
    def mistakes(cls, arguments: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield problems of well-typed arguments, such as names that timm would reject only when building the model."""
        name, options = arguments.get("architecture"), arguments.get("arguments") or {}
        if not isinstance(name, str) or not isinstance(options, Mapping):
            return
        if problem := no_architecture(name):
            yield problem
            return
        for option in options:
            if option in _OURS:
                yield Problem(
                    "is set by dlcli itself", f"arguments.{option}", f"It follows from {_OURS[option]}."
                )
        yield from _no_arguments(name, {k: v for k, v in options.items() if k not in _OURS})
        weights = arguments.get("weights")
        # A value without the suffix of a weight file may be a run's name.
        if isinstance(weights, str) and Path(weights).suffix in _FILES and not typed(weights).exists():
            yield Problem(
                f"there is no file {weights}",
                "weights",
                "Give an existing file, a run, hub (downloads timm's weights) or null (initializes at random).",
            )


def no_architecture(name: str) -> Problem | None:
    """Return the problem with a name of a timm model; None if it is valid."""
    known = pretrained_models()
    names = {model.name for model in known} | {model.architecture for model in known}
    if name in names:
        return None
    source, _, place = name.partition(":")
    if source in ("hf-hub", "hf_hub", "local-dir"):
        # timm would access the location again when the run is loaded, but a run must not depend on the hub or a folder.
        advice = _folder_hint(typed(place)) if source == "local-dir" else _hub_hint(place, names)
        return Problem(f"{name} is a location, not an architecture", "architecture", advice)
    timm = timm_package()
    if (
        name in timm.list_models() or name in timm.list_pretrained()
    ):  # the installed version may have other models
        return None
    bare, _, tag = name.partition(".")
    if tag and bare in names:
        tags = [model.name.partition(".")[2] for model in known if model.architecture == bare]
        found = question(f"{bare}.{one}" for one in near(tag, tags)) or choices(
            f"{bare}.{one}" for one in tags
        )
        return Problem(f"{bare} has no weights {tag}", "architecture", found)
    found = did_you_mean(name, {model.architecture for model in known})
    return Problem(
        f"timm has no model {name}", "architecture", hint(found, "List them with: dlcli list pretrained.")
    )


def _hub_hint(repository: str, names: Collection[str]) -> str:
    """Return a hint on the configuration of a hub model."""
    name = repository.partition("@")[0].removeprefix("timm/")
    if name in names:
        return f"Set timm's models by name: model.architecture={name}"
    place, _, revision = repository.partition("@")
    folder = place.rpartition("/")[2]
    words = [place, *(["--revision", revision] if revision else []), "--local-dir", folder]
    return (
        f"Download it ({shell_line('hf', 'download', *words)}), and set the architecture named in its config.json: "
        f"model.architecture=NAME {pasted('model.weights', f'{folder}/model.safetensors')}"
    )


def _folder_hint(folder: Path) -> str:
    """Return a hint on the configuration of a model that timm has saved in a folder."""
    try:
        content = json.loads((folder / "config.json").read_text())
        name, config = content["architecture"], content.get("pretrained_cfg", content)
    except (OSError, ValueError, LookupError):
        return f"{folder} has no config.json with an architecture: set model.architecture=NAME model.weights=FILE"
    scale = [pasted(f"model.{key}", list(config[key])) for key in ("mean", "std") if config.get(key)]
    file = next((folder / weights for weights in _WEIGHTS if (folder / weights).is_file()), "FILE")
    return " ".join(["Give", pasted("model.architecture", name), pasted("model.weights", str(file)), *scale])


def _no_arguments(architecture: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each argument that the architecture does not accept."""
    if not options:
        return
    with on_meta():
        model = timm_package().create_model(architecture)
    takes = {name for kind in type(model).__mro__ for name in inspect.signature(kind).parameters}
    for option, value in options.items():
        try:
            with on_meta():
                timm_package().create_model(architecture, **{option: value})
        except Exception as error:  # the architecture's code may raise anything
            unknown = option not in takes
            yield Problem(
                f"{architecture} has no argument {option}"
                if unknown
                else f"{architecture} rejects it: {first_line(error)}",
                f"arguments.{option}",
                hint(question(f"model.arguments.{name}" for name in near(option, takes))) if unknown else "",
            )


def _backbone(
    architecture: str,
    asked: TimmOptions,
    channels: int,
    input_size: int | None,
    options: Mapping[str, Any],
) -> tuple[nn.Module, Any]:
    """Return timm's model without its head, and timm's configuration of its input images."""
    timm, config = timm_package(), configuration_of(architecture, "architecture")
    arguments = {**options, "num_classes": 0, "in_chans": channels}
    if config.fixed_input_size and input_size not in (None, config.input_size[-1]):
        arguments["img_size"] = input_size
    if asked.to_load == "hub":
        check_cached(config.hf_hub_id, architecture, "model.weights")
        return timm.create_model(architecture, pretrained=True, **arguments), config
    model = timm.create_model(architecture, **arguments)
    if asked.file is not None:
        _load_backbone(model, asked.file, config, channels)
    return model, config


def _load_backbone(model: nn.Module, file: Path, config: Any, channels: int) -> None:
    """Load the backbone's weights from a file, which may also contain a head.

    Raises:
        ConfigError: names or shapes do not match the model.
    """
    from timm.models._manipulate import adapt_input_conv

    heads = (config.classifier,) if isinstance(config.classifier, str) else tuple(config.classifier or ())
    weights = read_weights(file, "model.weights")
    if of_whole_model(file):  # saved by a run, whose head is not timm's
        weights = {
            name.removeprefix("backbone."): values
            for name, values in weights.items()
            if name.startswith("backbone.")
        }
    first = f"{config.first_conv}.weight"
    if channels != 3 and first in weights and weights[first].shape[1] == 3:
        weights[first] = adapt_input_conv(channels, weights[first])
    misfit = compare_weights(
        model, weights, lambda name: name.startswith(tuple(f"{head}." for head in heads))
    )
    if misfit:
        raise ConfigError(
            f"{file} does not fit {config.architecture}: {misfit}",
            "model.weights",
            "Only the head may differ: choose the architecture of the weights (model.architecture=...).",
        )
    if torch.get_default_device().type != "meta":
        model.load_state_dict(weights, strict=False)


def _width(backbone: Any) -> int:
    """Return the number of features per image, the input size of timm's head."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)

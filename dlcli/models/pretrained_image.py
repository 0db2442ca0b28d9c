"""Any of timm's image models behind a new head (Wightman, PyTorch Image Models, 2019)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.config.suggest import choices, did_you_mean, hint, near, question
from dlcli.errors import ConfigError, Problem, first_line
from dlcli.files.paths import typed
from dlcli.models import layers as shared
from dlcli.models.hub import check_cached
from dlcli.models.layers import Activation, Share, Size
from dlcli.models.timm_catalog import pretrained_models
from dlcli.models.weights import compare_weights, of_whole_model, read_weights

# Files in which timm saves weights.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_FILES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")

# Arguments of timm.create_model that are keys of their own here, and by what name.
_OURS = {
    "pretrained": "model.weights", "num_classes": "the data's classes", "in_chans": "the data's channels",
    "img_size": "model.input_size", "pretrained_cfg": "model.mean and model.std", "features_only": "model.hidden",
    "pretrained_cfg_overlay": "model.mean and model.std", "checkpoint_path": "model.weights",
    "global_pool": "model.pooling",
}  # fmt: skip


class PretrainedImage(nn.Module):
    """A backbone of timm's, global pooling, and a head of our own.

    It takes images as bytes (or as floats of the range 0 to 255) and scales them itself, as the weights are used to;
    smaller or larger images are resized where the model is.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: logits or values per image.
        architecture: timm's name, with a tag where there are several weights: `resnet50`, `resnet50.a1_in1k`.
        weights: a file with the backbone's weights, or those of a run of this model; `hub` has timm download its
            own; None starts at random.
        input_size: side in pixels that images are resized to; None: as the weights were trained.
        normalization: `own` scales pixels by the weights' mean and deviation, `data` by the training rows'.
        mean: of the channels, from 0 to 1; None: as timm has it for this model.
        std: their deviation.
        pooling: how the backbone's last states become one vector; None: as timm has it for this model.
        hidden: units of a dense layer in front of the output; 0 leaves it out.
        activation: the dense layer's non-linearity.
        dropout: share dropped before the output.
        arguments: further arguments of the architecture, such as `pad_type`.
        restored: leaves the backbone's weights alone, for they will be loaded from a run.
    """

    accepts: ClassVar = {"image"}
    requires: ClassVar = ("timm",)
    # Weights that are neither a file nor a run.
    weights_words: ClassVar = {"hub": "downloads timm's own", "null": "starts at random"}
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        architecture: Annotated[str, MinLen(1)],
        weights: str | None = "hub",
        input_size: Size | None = None,
        normalization: Literal["own", "data"] = "own",
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        pooling: str | None = None,
        hidden: Annotated[int, Ge(0)] = 0,
        activation: Activation = "relu",
        dropout: Share = 0.0,
        arguments: Mapping[str, Any] | None = None,
        restored: bool = False,
    ) -> None:
        super().__init__()
        channels = input_shape[0]
        options = {**(arguments or {}), **({"global_pool": pooling} if pooling else {})}
        if restored or torch.get_default_device().type == "meta":
            weights = None if restored or weights == "hub" else weights
        self.backbone, config = _backbone(architecture, weights, channels, input_size, options)
        self._settings = {"architecture": architecture, "channels": channels, **options}
        self.input_size = input_size or int(config["input_size"][-1])
        self.interpolation = (
            config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic"
        )
        # Who scales the pixels: this model, or the last part of the preprocessing in front of it.
        self.takes_raw = normalization == "own"
        scale = {}
        for name, given in (("mean", mean), ("std", std)):
            values = torch.tensor(given or config[name], dtype=torch.float32, device="cpu")
            if len(values) != channels:  # colour to grey
                values = values.mean().expand(channels)
            scale[name] = values.clone().reshape(1, -1, 1, 1)
            self.register_buffer(name, scale[name].to(torch.get_default_device()))
        if self.takes_raw and weights not in (None, "hub"):
            _check_scale(typed(weights), scale)
        width = _width(self.backbone)
        dense = [nn.Linear(width, hidden), shared.activation(activation)] if hidden else []
        self.head = nn.Sequential(*dense, *shared.dropout(dropout), nn.Linear(hidden or width, num_outputs))

    def feature_settings(self) -> dict[str, Any]:
        """What decides about the features beside the backbone's weights."""
        scale = [self.mean.flatten().tolist(), self.std.flatten().tolist()] if self.takes_raw else None
        return {**self._settings, "input_size": self.input_size, "scale": scale}

    def features(self, x: Tensor) -> Tensor:
        """Images `(N, C, H, W)` to the backbone's features `(N, F)`."""
        if self.takes_raw:
            x = (x.to(self.mean.dtype) / 255 - self.mean) / self.std
        if x.shape[-2:] != (self.input_size, self.input_size):
            size = (self.input_size, self.input_size)  # in full precision, for a CPU resizes in no other
            resized = nn.functional.interpolate(x.float(), size, mode=self.interpolation, antialias=True)
            x = resized.to(x.dtype)
        return self.backbone(x)

    def forward(self, x: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Images, or their features, to `(N, num_outputs)`."""
        if features is None:
            assert x is not None
            features = self.features(x)
        return self.head(features)

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """The backbone's parameters by layer, as timm groups them for this architecture."""
        from timm.models import group_parameters

        matcher: Any = self.backbone.group_matcher
        grouped = group_parameters(self.backbone, matcher(coarse=coarse))
        return [list(grouped[layer]) for layer in sorted(grouped)]

    @classmethod
    def mistakes(cls, arguments: Mapping[str, Any]) -> Iterator[Problem]:
        """What is wrong with arguments whose types are right: names that timm would only refuse when it builds."""
        name, options = arguments.get("architecture"), arguments.get("arguments") or {}
        if not isinstance(name, str) or not isinstance(options, Mapping):
            return
        if problem := _no_architecture(name):
            yield problem
            return
        for option in options:
            if option in _OURS:
                yield Problem("is set by dlcli itself", f"arguments.{option}", f"It is {_OURS[option]}.")
        yield from _no_arguments(name, {k: v for k, v in options.items() if k not in _OURS})
        weights = arguments.get("weights")
        # What does not end as a file does may be a run's name.
        if isinstance(weights, str) and Path(weights).suffix in _FILES and not typed(weights).exists():
            yield Problem(
                f"there is no file {weights}",
                "weights",
                "A run may be named, too; hub downloads timm's own; null starts at random.",
            )


def _no_architecture(name: str) -> Problem | None:
    known = pretrained_models()
    names = {model.name for model in known} | {model.architecture for model in known}
    if name in names:
        return None
    source, _, place = name.partition(":")
    if source in ("hf-hub", "hf_hub", "local-dir"):
        # timm would go there again to load a run, which has to need neither hub nor folder.
        how = _in_a_folder(typed(place)) if source == "local-dir" else _on_the_hub(place, names)
        return Problem(f"{name} is a place, not an architecture", "architecture", how)
    timm = _timm()
    if name in timm.list_models() or name in timm.list_pretrained():  # another version of timm knows others
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
        f"timm has no model {name}", "architecture", hint(found, "dlcli list pretrained names them.")
    )


def _on_the_hub(repository: str, names: Collection[str]) -> str:
    """How a model of the hub is given."""
    name = repository.partition("@")[0].removeprefix("timm/")
    if name in names:
        return f"timm's own go by their name: model.architecture={name}"
    return (
        f"Fetch it (hf download {repository.replace('@', ' --revision ')} --local-dir DIR), and give the architecture "
        "that its config.json names: model.architecture=NAME model.weights=DIR/model.safetensors"
    )


def _in_a_folder(folder: Path) -> str:
    """How a model is given that timm has saved in a folder."""
    try:
        described = json.loads((folder / "config.json").read_text())
        name, config = described["architecture"], described.get("pretrained_cfg", described)
    except (OSError, ValueError, LookupError):
        return f"{folder} has no config.json that names one: give model.architecture=NAME model.weights=FILE"
    scale = [
        f"'model.{key}={list(config[key])}'".replace(" ", "") for key in ("mean", "std") if config.get(key)
    ]
    file = next((folder / weights for weights in _WEIGHTS if (folder / weights).is_file()), "FILE")
    return " ".join(["Give", f"model.architecture={name}", f"model.weights={file}", *scale])


def _no_arguments(architecture: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Arguments that the architecture does not take."""
    if not options:
        return
    with torch.device("meta"):
        model = _timm().create_model(architecture)
    takes = {name for kind in type(model).__mro__ for name in inspect.signature(kind).parameters}
    for option, value in options.items():
        try:
            with torch.device("meta"):
                _timm().create_model(architecture, **{option: value})
        except Exception as error:  # whatever an architecture's own code raises
            unknown = option not in takes
            yield Problem(
                f"{architecture} has no argument {option}"
                if unknown
                else f"{architecture} refuses it: {first_line(error)}",
                f"arguments.{option}",
                hint(question(f"model.arguments.{name}" for name in near(option, takes))) if unknown else "",
            )


def _backbone(
    architecture: str, weights: str | None, channels: int, input_size: int | None, options: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """timm's model without its head, and what timm knows of the images that it takes."""
    timm = _timm()
    config = timm.get_pretrained_cfg(architecture)
    if config is None:
        raise ConfigError(
            f"timm has no model {architecture}", "model.architecture", "dlcli list pretrained names them."
        )
    arguments = {**options, "num_classes": 0, "in_chans": channels}
    if config.fixed_input_size and input_size not in (None, config.input_size[-1]):
        arguments["img_size"] = input_size
    if weights == "hub":
        check_cached(config.hf_hub_id, architecture, "model.weights")
        return timm.create_model(architecture, pretrained=True, **arguments), config.to_dict()
    model = timm.create_model(architecture, **arguments)
    if weights is not None:
        _fill(model, typed(weights), config, channels)
    return model, config.to_dict()


def _fill(model: nn.Module, file: Path, config: Any, channels: int) -> None:
    """Load the backbone's weights; those of a head may be there or not.

    Raises:
        ConfigError: names or shapes do not agree.
    """
    from timm.models._manipulate import adapt_input_conv

    heads = (config.classifier,) if isinstance(config.classifier, str) else tuple(config.classifier or ())
    weights = read_weights(file, "model.weights")
    if of_whole_model(file):  # of a run: the head is none of timm's
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
            "Only the head may differ: choose the architecture that the weights are of (model.architecture=...).",
        )
    if torch.get_default_device().type != "meta":
        model.load_state_dict(weights, strict=False)


def _check_scale(file: Path, scale: Mapping[str, Tensor]) -> None:
    """Refuse a run's weights that are used to other pixels.

    Raises:
        ConfigError: naming the mean and the deviation that the run had.
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
            f"the run's weights are used to pixels of another {' and '.join(other)}",
            "model.weights",
            f"Give {' '.join(give)}.".replace(", ", ","),
        )


def _width(backbone: Any) -> int:
    """Features per image: what a head of timm's would get."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def _timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ConfigError("timm is not installed", "model", "pip install 'dlcli[vision]'") from error
    return timm

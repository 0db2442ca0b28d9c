"""Low-rank adapters of a frozen backbone (Hu et al., LoRA, 2021), through the peft library."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen
from torch import nn

from dlcli.errors import ConfigError
from dlcli.models.layers import HasBackbone
from dlcli.training.finetuning import Group


class LoRA:
    """Training of the head and of low-rank adapters of the backbone's layers at the optimizer's rate; the backbone is
    frozen.

    An adapted layer computes `W x + alpha / rank * B A x`, where `A` and `B` have `rank` rows and columns (equation 3).
    `B` is initialized with 0, so that training starts from the pretrained model.

    Args:
        rank: rank of the adapters.
        alpha: the adapters' outputs are multiplied by `alpha / rank`.
        dropout: share of an adapter's inputs that is dropped in training.
        target_modules: names, or ends of names, of the layers with an adapter. None means peft's default for the
            architecture, usually the queries and values of attention.
    """

    def __init__(
        self,
        rank: Annotated[int, Ge(1)] = 8,
        alpha: Annotated[float, Gt(0)] = 16,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
        target_modules: Annotated[Sequence[str], MinLen(1)] | Literal["all-linear"] | None = None,
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.target_modules = target_modules

    def prepare(self, model: HasBackbone) -> None:
        """Freeze the backbone and insert the adapters.

        Raises:
            ConfigError: the backbone is not a transformers model or has no such layers, or peft is not installed.
        """
        architecture = getattr(getattr(model.backbone, "config", None), "model_type", None)
        if architecture is None:
            raise ConfigError(
                f"the backbone of {type(model).__name__} is not a transformers model, and cannot have adapters",
                "finetune",
                "Choose model=pretrained_text, or another method: finetune=fine_tuning.",
            )
        library = peft()
        targets = self.target_modules
        config = library.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets if targets is None or isinstance(targets, str) else list(targets),
        )
        layers = _layers_with_weights(model.backbone)
        try:
            with warnings.catch_warnings():
                # GPT-2's layers keep their weights transposed. peft detects that and warns of it.
                warnings.filterwarnings("ignore", message="fan_in_fan_out")
                library.inject_adapter_in_model(config, model.backbone)
        except ValueError as error:
            message = "has no default layers to adapt" if targets is None else "has no such layers to adapt"
            raise ConfigError(
                f"{architecture} {message}",
                "finetune.target_modules",
                f"Its layers are {', '.join(layers)}; all-linear adapts all of them.",
            ) from error

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Return False: the trained parts do not change."""
        return False

    def groups(self, model: HasBackbone) -> list[Group]:
        """Return the head and the adapters."""
        adapters = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
        return [{"params": [*model.head.parameters(), *adapters], "lr_share": 1.0}]

    def merged(self, model: nn.Module) -> nn.Module:
        """Return an equivalent copy without adapters, with weights that include them.

        The model itself is unchanged; the copy shares layers without adapters.
        """
        kind = peft().tuners.lora.LoraLayer
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, kind)}
        own = {id(tensor) for layer in layers.values() for tensor in _tensors(layer)}
        copied = copy.deepcopy(model, {id(t): t for t in _tensors(model) if id(t) not in own})
        for name in layers:
            adapted: Any = copied.get_submodule(name)
            adapted.merge()
            copied.set_submodule(name, adapted.get_base_layer())
        return copied


def peft() -> Any:
    """Return the peft library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        if error.name != "peft":
            raise
        raise ConfigError("peft is not installed", "finetune", "pip install peft") from error
    return peft


def _layers_with_weights(backbone: nn.Module) -> list[str]:
    """Return the last parts of the names of layers with a weight matrix."""
    return sorted(
        {
            name.rpartition(".")[2]
            for name, layer in backbone.named_modules()
            if getattr(getattr(layer, "weight", None), "ndim", 0) == 2 and not isinstance(layer, nn.Embedding)
        }
    )


def _tensors(module: nn.Module) -> list[Any]:
    return [*module.parameters(), *module.buffers()]

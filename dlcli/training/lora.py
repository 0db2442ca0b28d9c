"""Low-rank adapters beside a frozen backbone's layers (Hu et al., LoRA, 2021), through the peft library."""

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
    """The backbone is frozen; adapters of its layers and the head train, at the optimizer's rate.

    An adapted layer gives `W x + alpha / rank * B A x`, where `A` and `B` have `rank` rows and columns (equation 3).
    `B` starts at 0: the training starts from the pretrained model.

    Args:
        rank: of the adapters.
        alpha: their weight: what they give is multiplied by `alpha / rank`.
        dropout: share of an adapter's inputs that is dropped in training.
        target_modules: names, or ends of names, of the layers that get one; null: those that peft knows for the
            architecture, mostly the attention's queries and values.
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
        """Freeze the backbone, and put the adapters into it.

        Raises:
            ConfigError: it is no model of transformers', has no such layers, or peft is not installed.
        """
        architecture = getattr(getattr(model.backbone, "config", None), "model_type", None)
        if architecture is None:
            raise ConfigError(
                f"the backbone of {type(model).__name__} is no model of transformers': it takes no adapters",
                "finetune",
                "Choose model=pretrained_text, or another way: finetune=fine_tuning.",
            )
        library = peft()
        targets = self.target_modules
        config = library.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets if targets is None or isinstance(targets, str) else list(targets),
        )
        there = _layers_with_weights(model.backbone)
        try:
            with warnings.catch_warnings():
                # GPT-2's layers keep their weights transposed: peft sees that by itself, and says so.
                warnings.filterwarnings("ignore", message="fan_in_fan_out")
                library.inject_adapter_in_model(config, model.backbone)
        except ValueError as error:
            said = "knows no layers of its own to adapt" if targets is None else "has no such layers to adapt"
            raise ConfigError(
                f"{architecture} {said}",
                "finetune.target_modules",
                f"There are {', '.join(there)}; all-linear takes each.",
            ) from error

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Nothing changes."""
        return False

    def groups(self, model: HasBackbone) -> list[Group]:
        """The head and the adapters."""
        adapters = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
        return [{"params": [*model.head.parameters(), *adapters], "lr_share": 1.0}]

    def merged(self, model: nn.Module) -> nn.Module:
        """A copy without adapters, which gives the same: what they have learnt is in its layers' weights.

        The model itself keeps its bits, and lends the copy whatever it does not adapt.
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
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        if error.name != "peft":
            raise
        raise ConfigError("peft is not installed", "finetune", "pip install 'dlcli[lora]'") from error
    return peft


def _layers_with_weights(backbone: nn.Module) -> list[str]:
    """The ends of their names."""
    return sorted(
        {
            name.rpartition(".")[2]
            for name, layer in backbone.named_modules()
            if getattr(getattr(layer, "weight", None), "ndim", 0) == 2 and not isinstance(layer, nn.Embedding)
        }
    )


def _tensors(module: nn.Module) -> list[Any]:
    return [*module.parameters(), *module.buffers()]

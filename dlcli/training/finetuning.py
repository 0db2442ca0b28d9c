"""What of a pretrained model trains, from when on, and with what learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor, nn

from dlcli.models.layers import HasBackbone

Rate = Annotated[float, Gt(0), Le(1)]

# Parameters, and their learning rate as a share of the optimizer's.
Group = dict[str, Any]


class Finetuning(Protocol):
    """How a model with a backbone trains."""

    def prepare(self, model: HasBackbone) -> None:
        """Freeze what does not train at first."""

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Unfreeze what trains from this epoch on; whether anything could have changed.

        What trains follows from the epoch alone, so that a resumed training trains the same.
        """

    def groups(self, model: HasBackbone) -> list[Group]:
        """Everything that ever trains: `params`, with `lr_share` of the optimizer's rate; the head comes first."""


class FeatureExtraction:
    """The backbone is frozen, and in evaluation mode; the head trains.

    Args:
        cache: compute the backbone's features once, where nothing changes them.
    """

    def __init__(self, cache: bool = True) -> None:
        self.cache = cache

    def prepare(self, model: HasBackbone) -> None:
        """Freeze the backbone."""
        model.backbone.requires_grad_(False)

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Nothing changes."""
        return False

    def groups(self, model: HasBackbone) -> list[Group]:
        """The head."""
        return [_head(model)]


class FineTuning:
    """Everything trains, the backbone more slowly: Howard and Ruder's discriminative rates (ULMFiT, 2018).

    Args:
        backbone_lr: the rate of the backbone's last layer, as a share of the head's.
        layer_decay: each layer's rate as a share of that of the layer above it.
    """

    def __init__(self, backbone_lr: Rate = 0.1, layer_decay: Rate = 1.0) -> None:
        self.backbone_lr = backbone_lr
        self.layer_decay = layer_decay

    def prepare(self, model: HasBackbone) -> None:
        """Nothing is frozen."""

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Nothing changes."""
        return False

    def groups(self, model: HasBackbone) -> list[Group]:
        """The head, and the backbone by layers."""
        return [_head(model), *_by_layer(model, self.backbone_lr, self.layer_decay)]


class GradualUnfreezing:
    """The head trains first; the backbone's stages follow, from the output to the input (ULMFiT, 2018).

    Args:
        epochs: at each of them a further part of the stages starts to train; all parts are equally large.
        backbone_lr: the rate of the backbone's last layer, as a share of the head's.
        layer_decay: each layer's rate as a share of that of the layer above it.
    """

    def __init__(
        self,
        epochs: Annotated[Sequence[Annotated[int, Ge(0)]], MinLen(1)] = (2, 4, 6),
        backbone_lr: Rate = 0.1,
        layer_decay: Rate = 1.0,
    ) -> None:
        if list(epochs) != sorted(set(epochs)):
            raise ValueError(f"epochs have to grow from one to the next, these are {list(epochs)}")
        self.epochs = epochs
        self.backbone_lr = backbone_lr
        self.layer_decay = layer_decay

    def prepare(self, model: HasBackbone) -> None:
        """What the first epoch trains."""
        self.start_epoch(model, 0)

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Unfreeze the stages whose epoch has come."""
        stages = model.layers(coarse=True)
        reached = sum(epoch >= start for start in self.epochs)
        frozen = len(stages) - round(len(stages) * reached / len(self.epochs))
        parameters = dict(model.backbone.named_parameters())
        for number, names in enumerate(stages):
            for name in names:
                parameters[name].requires_grad_(number >= frozen)
        return True

    def groups(self, model: HasBackbone) -> list[Group]:
        """The head, and the backbone by layers: what is still frozen has no gradient, and no optimizer moves it."""
        return [_head(model), *_by_layer(model, self.backbone_lr, self.layer_decay)]


def keep_frozen(module: nn.Module) -> None:
    """Put every part that is frozen as a whole into evaluation mode.

    Else batch normalisation would go on replacing its statistics, and dropout would go on dropping.
    """
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        keep_frozen(child)


def _head(model: HasBackbone) -> Group:
    return {"params": list(model.head.parameters()), "lr_share": 1.0}


def _by_layer(model: HasBackbone, share: float, decay: float) -> list[Group]:
    parameters = dict(model.backbone.named_parameters())
    layers: list[list[Tensor]] = [
        [parameters[name] for name in names] for names in model.layers(coarse=False)
    ]
    if decay == 1:
        layers = [[parameter for layer in layers for parameter in layer]]
    return [
        {"params": layer, "lr_share": share * decay**depth} for depth, layer in enumerate(reversed(layers))
    ]

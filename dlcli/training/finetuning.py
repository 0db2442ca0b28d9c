"""Fine-tuning: which parts of a pretrained model are trained, from which epoch on, and at which learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlcli.models.layers import HasBackbone

Rate = Annotated[float, Gt(0), Le(1)]

# Minimum number of training rows for which `ProbeFirst` trains the backbone by default.
_ROWS_TO_TUNE = 1_000

# Parameters, and their learning rate as a share of the optimizer's rate.
Group = dict[str, Any]


class Finetuning(Protocol):
    """Interface of fine-tuning methods of models with a backbone.

    With an attribute `keep_statistics` that is true, batch normalization stays in evaluation mode, see `keep_frozen`.
    """

    def prepare(self, model: HasBackbone) -> None:
        """Freeze the parts that are not trained initially."""

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Unfreeze the parts that are trained from this epoch on; return whether anything may have changed.

        The trained parts depend on the epoch only, so that a resumed run trains the same ones.
        """

    def groups(self, model: HasBackbone) -> list[Group]:
        """Return the parameters trained in any epoch: `params` and `lr_share` of each group, the head first."""


class FeatureExtraction:
    """Training of the head only; the backbone is frozen and in evaluation mode.

    Args:
        cache: whether the backbone's features are computed once, if the rows do not change between epochs.
        head: whether a linear head is `solved` on these features, without steps, as by `ProbeFirst`, or trained by
            `steps`; `auto` is settled before training, see `dlcli.assembly.head_choice`.
    """

    def __init__(self, cache: bool = True, head: Literal["auto", "solved", "steps"] = "steps") -> None:
        self.cache = cache
        self.solves_head = self.only_head = head == "solved"

    def prepare(self, model: HasBackbone) -> None:
        """Freeze the backbone."""
        model.backbone.requires_grad_(False)

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Return False: the trained parts do not change."""
        return False

    def groups(self, model: HasBackbone) -> list[Group]:
        """Return the head."""
        return [_head(model)]


class FineTuning:
    """Training of all parts, the backbone at a lower rate: discriminative fine-tuning (Howard and Ruder, ULMFiT, 2018).

    Args:
        backbone_lr: the rate of the backbone's last layer, as a share of the head's.
        layer_decay: ratio of each layer's rate to that of the layer above it.
        keep_statistics: whether batch normalization keeps its pretrained statistics; its weights are trained.
    """

    def __init__(
        self, backbone_lr: Rate = 0.1, layer_decay: Rate = 1.0, keep_statistics: bool = False
    ) -> None:
        self.backbone_lr = backbone_lr
        self.layer_decay = layer_decay
        self.keep_statistics = keep_statistics

    def prepare(self, model: HasBackbone) -> None:
        """Leave all parts trainable."""

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Return False: the trained parts do not change."""
        return False

    def groups(self, model: HasBackbone) -> list[Group]:
        """Return the head, and the backbone by layers."""
        return [_head(model), *_by_layer(model, self.backbone_lr, self.layer_decay)]


class ProbeFirst(FineTuning):
    """Solution of a linear head on the features of the frozen backbone, then training of all parts from there.

    A head that fits the features changes them less than a random one (Kumar et al., "Fine-Tuning can Distort Pretrained
    Features and Underperform Out-of-Distribution", 2022). The first epoch takes no steps: it evaluates the solved head,
    and fine-tuning has to be better on the validation rows.

    Args:
        tune: whether all parts are trained after the first epoch; `auto` follows from the rows, see `automatic`.
        backbone_lr: the rate of the backbone's last layer, as a share of that of the optimizer.
        layer_decay: ratio of each layer's rate to that of the layer above it.
        head_lr: the head's rate, as a share of that of the optimizer.
        keep_statistics: whether batch normalization keeps its pretrained statistics. The head was solved on features of
            these; those of a batch differ so much that the first steps undo it.
    """

    solves_head: ClassVar = True

    def __init__(
        self,
        tune: bool | Literal["auto"] = "auto",
        backbone_lr: Rate = 0.1,
        layer_decay: Rate = 1.0,
        head_lr: Rate = 1.0,
        keep_statistics: bool = False,
    ) -> None:
        super().__init__(backbone_lr, layer_decay, keep_statistics)
        self.head_lr = head_lr
        self.only_head = not tune  # `auto` is settled before training

    @staticmethod
    def automatic(training_rows: int) -> dict[str, tuple[Any, str]]:
        """Return the values of `auto`, with the reasons: few rows do not determine the weights of a backbone."""
        return {"tune": (training_rows >= _ROWS_TO_TUNE, f"for {training_rows:,} training rows")}

    def prepare(self, model: HasBackbone) -> None:
        """Freeze the backbone if only the head is solved."""
        if self.only_head:
            model.backbone.requires_grad_(False)

    def groups(self, model: HasBackbone) -> list[Group]:
        """Return the head, and, if they are trained, the backbone's layers."""
        head = {**_head(model), "lr_share": self.head_lr}
        return [head] if self.only_head else [head, *super().groups(model)[1:]]


class GradualUnfreezing:
    """Training of the head first, then also of the backbone's stages, from the output to the input (ULMFiT, 2018).

    Args:
        epochs: epochs at which further stages are unfrozen; the stages are divided equally among them.
        backbone_lr: the rate of the backbone's last layer, as a share of the head's.
        layer_decay: ratio of each layer's rate to that of the layer above it.
        keep_statistics: whether batch normalization keeps its pretrained statistics; its weights are trained.
    """

    def __init__(
        self,
        epochs: Annotated[Sequence[Annotated[int, Ge(0)]], MinLen(1)] = (2, 4, 6),
        backbone_lr: Rate = 0.1,
        layer_decay: Rate = 1.0,
        keep_statistics: bool = False,
    ) -> None:
        if list(epochs) != sorted(set(epochs)):
            raise ValueError(f"epochs must be strictly increasing, got {list(epochs)}")
        self.epochs = epochs
        self.backbone_lr = backbone_lr
        self.layer_decay = layer_decay
        self.keep_statistics = keep_statistics

    def prepare(self, model: HasBackbone) -> None:
        """Freeze the stages that are not trained in the first epoch."""
        self.start_epoch(model, 0)

    def start_epoch(self, model: HasBackbone, epoch: int) -> bool:
        """Unfreeze the stages that are trained from this epoch on."""
        stages = model.layers(coarse=True)
        reached = sum(epoch >= start for start in self.epochs)
        frozen = len(stages) - round(len(stages) * reached / len(self.epochs))
        parameters = dict(model.backbone.named_parameters())
        for number, names in enumerate(stages):
            for name in names:
                parameters[name].requires_grad_(number >= frozen)
        return True

    def groups(self, model: HasBackbone) -> list[Group]:
        """Return the head, and the backbone by layers; optimizers skip frozen layers, which have no gradient."""
        return [_head(model), *_by_layer(model, self.backbone_lr, self.layer_decay)]


def keep_frozen(module: nn.Module, keep_statistics: bool = False) -> None:
    """Put every completely frozen part into evaluation mode, and with `keep_statistics` all batch normalization.

    Otherwise batch normalization would update its statistics, and dropout would be active.
    """
    parameters = list(module.parameters())
    is_frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
    if is_frozen or (keep_statistics and isinstance(module, _BatchNorm)):
        module.eval()
        return
    for child in module.children():
        keep_frozen(child, keep_statistics)


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

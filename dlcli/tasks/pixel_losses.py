"""Losses of segmentation: the mean over rows of a loss over the pixels of each row.

Outputs are logits `(N, C, ...)`, y are codes `(N, ...)`, with `UNKNOWN` for pixels without a class, which are ignored;
the loss of a row without other pixels is 0. The optional `pixels` `(N, ...)` are numbers of pixels that each entry
represents, by which the loss of constant outputs is computed from the numbers of pixels of each class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from dlcli.tasks.losses import ClassWeights, Smoothing, class_weights_of

# Code of pixels without a class in the losses; the default of torch, so that its losses can be used.
UNKNOWN = -100


class PixelLoss(nn.Module, ABC):
    """Base class of losses of segmentation, with weights of classes.

    Args:
        classes: names of the classes.
        class_counts: number of training pixels of each class.
        class_weights: `balanced`, or a mapping of class names to weights; see `class_weights_of`.
    """

    accepts: ClassVar = {"segmentation"}
    lower_bound: ClassVar = 0.0
    weights: Tensor | None

    def __init__(
        self, classes: Sequence[str], class_counts: Sequence[int], class_weights: ClassWeights = None
    ) -> None:
        super().__init__()
        weights = class_weights_of(class_weights, classes, class_counts)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, y: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Return the mean loss, a scalar."""
        logits, y = logits.flatten(2), y.flatten(1)
        known = (y != UNKNOWN).to(logits.dtype)
        pixels = known if pixels is None else pixels.flatten(1) * known
        return self.of_rows(logits, y.clamp_min(0), pixels).mean()

    @abstractmethod
    def of_rows(self, logits: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the loss of each row `(N,)`, for logits `(N, C, P)`, codes `(N, P)` and numbers of pixels `(N, P)`."""

    def averaged(self, losses: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the means over the pixels of each row `(N,)` of weighted losses `(N, P)`."""
        if self.weights is not None:
            losses = losses * self.weights[y]
        return (losses * pixels).sum(dim=1) / pixels.sum(dim=1).clamp_min(1)


class PixelCrossEntropy(PixelLoss):
    """Cross-entropy of each pixel.

    Args:
        classes: names of the classes.
        class_counts: number of training pixels of each class.
        label_smoothing: share of the target's probability that is spread over all classes.
        class_weights: weights of the classes.
    """

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        label_smoothing: Smoothing = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.label_smoothing = label_smoothing

    def of_rows(self, logits: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the mean over the pixels of each row."""
        losses = functional.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        return self.averaged(losses, y, pixels)


class PixelFocal(PixelLoss):
    """Focal loss of each pixel: cross-entropy times `(1 - p)^gamma` (Lin et al., 2017; see `Focal`).

    Args:
        classes: names of the classes.
        class_counts: number of training pixels of each class.
        gamma: exponent that reduces the weight of well-classified pixels.
        class_weights: weights of the classes.
    """

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        gamma: Annotated[float, Ge(0)] = 2.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.gamma = gamma

    def of_rows(self, logits: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the mean over the pixels of each row."""
        losses = functional.cross_entropy(logits, y, reduction="none")
        # Above 0, because the power has no gradient at 0 for a gamma below 1.
        missing = (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).tiny)
        return self.averaged(losses * missing**self.gamma, y, pixels)


class Dice(PixelLoss):
    """Dice loss: 1 minus the mean Dice coefficient of the classes that occur in a row (Milletari et al., V-Net, 2016).

    Dice coefficients are computed with probabilities. A combination with cross-entropy often trains better than either
    loss; `cross_entropy` is its weight.

    Args:
        classes: names of the classes.
        class_counts: number of training pixels of each class.
        cross_entropy: share of the cross-entropy in the loss; the rest is Dice.
        class_weights: weights of the classes in both parts.
    """

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        cross_entropy: Annotated[float, Ge(0), Le(1)] = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.cross_entropy = cross_entropy

    def of_rows(self, logits: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the loss of each row."""
        chances = logits.softmax(dim=1)
        truth = functional.one_hot(y, logits.shape[1]).movedim(2, 1).to(chances.dtype) * pixels[:, None]
        both = (chances * truth).sum(dim=2)
        there = truth.sum(dim=2)
        sizes = (chances * pixels[:, None]).sum(dim=2) + there
        weights = (there > 0).to(chances.dtype) * (1 if self.weights is None else self.weights)
        missed = 1 - 2 * both / sizes.clamp_min(torch.finfo(chances.dtype).tiny)
        dice = (missed * weights).sum(dim=1) / (there > 0).sum(dim=1).clamp_min(1)
        if not self.cross_entropy:
            return dice
        losses = functional.cross_entropy(logits, y, reduction="none")
        return torch.lerp(dice, self.averaged(losses, y, pixels), self.cross_entropy)

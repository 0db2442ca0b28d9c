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
from torch import Tensor
from torch.nn import functional

from dlcli.tasks.losses import ClassWeights, Focused, Smoothed, Weighted

# Code of pixels without a class in the losses; the default of torch, so that its losses can be used.
UNKNOWN = -100


class PixelLoss(Weighted, ABC):
    """Base class of losses of segmentation, with weights of classes."""

    accepts: ClassVar = {"segmentation"}

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


class PixelCrossEntropy(Smoothed, PixelLoss):
    """Cross-entropy of each pixel; for the arguments see `Smoothed`."""

    def of_rows(self, logits: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the mean over the pixels of each row."""
        losses = functional.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        return self.averaged(losses, y, pixels)


class PixelFocal(Focused, PixelLoss):
    """Focal loss of each pixel; for the arguments see `Focused`."""

    def of_rows(self, logits: Tensor, y: Tensor, pixels: Tensor) -> Tensor:
        """Return the mean over the pixels of each row."""
        return self.averaged(self.focused(functional.cross_entropy(logits, y, reduction="none")), y, pixels)


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

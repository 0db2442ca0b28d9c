"""Metrics of segmentation, pooled over the pixels of all rows.

All are computed from three numbers per class: true, predicted and correct pixels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dlcli.tasks.metric import Metric, counted_over

Overlap = Literal["miou", "dice", "pixel_accuracy", "class_accuracy"]


class MaskOverlap(Metric):
    """Overlap of masks and predictions.

    Args:
        kind: `miou`, the mean of the classes' intersection over union, `dice`, that of their Dice coefficients,
            `pixel_accuracy`, the share of correct pixels, or `class_accuracy`, its mean over classes.
        num_classes: number of classes. Means are over classes that occur in masks or predictions; for class accuracy,
            in masks.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    shares = "masks"
    pixels: Tensor

    def __init__(self, kind: Overlap, num_classes: int) -> None:
        super().__init__()
        self.kind = kind
        self.add_sum("pixels", (3, num_classes))

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; `predicted` `(N, 3 or more, C)` begins with true, predicted and correct pixels; y is not used."""
        self.pixels = self.pixels + predicted[:, :3].double().sum(dim=0)

    def compute(self) -> Tensor:
        """Return the value; NaN without labelled pixels."""
        there, predicted, right = self.pixels
        if self.kind == "pixel_accuracy":
            return right.sum() / there.sum()
        return overlaps(there, predicted, right, self.kind).nanmean()

    def over(self) -> tuple[int, int] | None:
        """Return the number of classes that occur, and that of all; None for the share of all pixels."""
        if self.kind == "pixel_accuracy":
            return None
        there, predicted, right = self.pixels
        return counted_over(~overlaps(there, predicted, right, self.kind).isnan())


def overlaps(there: Tensor, predicted: Tensor, right: Tensor, kind: Overlap = "miou") -> Tensor:
    """Return the value of each class `(..., C)`; NaN for classes that do not occur.

    Args:
        there: number of pixels of each class `(..., C)`.
        predicted: number of predicted pixels.
        right: number of correct pixels.
        kind: the metric, see `MaskOverlap`.
    """
    if kind == "class_accuracy":
        return right / there
    if kind == "dice":
        return 2 * right / (there + predicted)
    return right / (there + predicted - right)


def counts_of(confusions: Tensor) -> Tensor:
    """Return true, predicted and correct numbers of pixels `(N, 3, C)` from confusion matrices `(N, target,
    predicted)`."""
    right = confusions.diagonal(dim1=1, dim2=2)
    return torch.stack([confusions.sum(dim=2), confusions.sum(dim=1), right], dim=1)

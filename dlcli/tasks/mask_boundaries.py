"""Boundary F score of masks (Csurka et al., What is a good evaluation measure for semantic segmentation?, 2013)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor
from torch.nn import functional

from dlcli.datasets.masks.class_maps import IGNORED
from dlcli.tasks.metric import Metric, counted_over

# Distance within which boundaries agree, as a share of the image's diagonal: that of the paper.
TOLERANCE = 0.0075

# What is counted of each class: boundary pixels of the prediction, those of them near the mask's boundary, and the same
# of the mask.
BOUNDARY_COUNTS = ("predicted_boundary", "right_boundary", "boundary", "found_boundary")


class BoundaryF(Metric):
    """How well the boundaries of predicted and true regions agree, the mean over classes.

    Of each class it is the harmonic mean of two shares, over all images together: the predicted boundary pixels that
    are near a true one, and the true ones that are near a predicted one.

    Args:
        num_classes: number of classes; the mean is over those with boundary pixels in masks or predictions.
        tolerance: distance up to which pixels are near, as a share of the image's diagonal, at least a pixel.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    pixels: Tensor

    def __init__(self, num_classes: int, tolerance: Annotated[float, Gt(0), Lt(1)] = TOLERANCE) -> None:
        super().__init__()
        self.add_sum("pixels", (len(BOUNDARY_COUNTS), num_classes))

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; the last four of the numbers of pixels `predicted` `(N, 7, C)` are `boundary_counts`."""
        self.pixels = self.pixels + predicted[:, -len(BOUNDARY_COUNTS) :].double().sum(dim=0)

    def compute(self) -> Tensor:
        """Return the mean over classes; NaN without any boundary."""
        return boundary_f(self.pixels).nanmean()

    def over(self) -> tuple[int, int]:
        """Return the number of classes with a boundary, and that of all."""
        return counted_over(~boundary_f(self.pixels).isnan())


def boundary_f(counts: Tensor) -> Tensor:
    """Return the F score of each class `(C,)` of `boundary_counts` `(4, C)`; NaN for classes without a boundary."""
    predicted, right, there, found = counts.double()
    scores = 2 * right * found / (right * there + found * predicted).clamp_min(1e-12)
    return torch.where(predicted + there > 0, scores, torch.nan)


def boundary_counts(predicted: Tensor, y: Tensor, classes: int, tolerance: float) -> Tensor:
    """Return the numbers `BOUNDARY_COUNTS` of each class, `(N, 4, C)`.

    A pixel is of the boundary of its class if one of its four neighbours is of another class. Pixels without a class
    are no boundary and make none, neither of the mask nor of the prediction.

    Args:
        predicted: class of each pixel `(N, H, W)`.
        y: true class of each pixel, bytes `(N, H, W)`; `IGNORED` for none.
        classes: number of classes.
        tolerance: distance up to which pixels are near, as a share of the diagonal.
    """
    radius = max(1, round(tolerance * math.hypot(*y.shape[1:])))
    known = y != IGNORED
    own, true = _boundary(predicted, known), _boundary(y, known)
    found = []
    for number in range(classes):
        made, given = own & (predicted == number), true & (y == number)
        found.append(
            torch.stack(
                [
                    made.sum(dim=(1, 2)),
                    (made & _near(given, radius)).sum(dim=(1, 2)),
                    given.sum(dim=(1, 2)),
                    (given & _near(made, radius)).sum(dim=(1, 2)),
                ],
                dim=1,
            )
        )
    return torch.stack(found, dim=2)


def _boundary(codes: Tensor, known: Tensor) -> Tensor:
    """Return which pixels `(N, H, W)` have a neighbour of another class; both have to be known."""
    found = torch.zeros_like(known)
    for axis in (1, 2):
        size = codes.shape[axis]
        first, second = (
            [values.narrow(axis, start, size - 1) for values in (codes, known)] for start in (0, 1)
        )
        differ = (first[0] != second[0]) & first[1] & second[1]
        for start in (0, 1):
            found.narrow(axis, start, size - 1).logical_or_(differ)
    return found


def _near(pixels: Tensor, radius: int) -> Tensor:
    """Return which pixels `(N, H, W)` have one of some pixels within a distance (Euclidean)."""
    values = pixels.float()
    found = torch.zeros_like(values)
    height = pixels.shape[1]
    for shift in range(-radius, radius + 1):
        if abs(shift) >= height:
            continue
        half = math.isqrt(radius * radius - shift * shift)
        wide = functional.max_pool1d(values, 2 * half + 1, 1, half) if half else values
        begin, end = max(0, shift), height + min(0, shift)
        part = found[:, begin:end]
        torch.maximum(part, wide[:, begin - shift : end - shift], out=part)
    return found > 0

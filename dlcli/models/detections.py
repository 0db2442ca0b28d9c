"""Inputs and outputs of detection models: training targets, return values, and non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.datasets.boxes.boxes import CODE, CROWD

# Number of rounds of suppression, which is exact for chains of overlapping detections up to this length.
_ROUNDS = 8


def pixel_boxes(y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return corners in pixels `(N, T, 4)`, classes `(N, T)`, and a mask of boxes that are neither padding nor crowds
    `(N, T)`.

    Args:
        y: padded boxes `(N, T, 6)` of `dlcli.datasets.boxes.boxes.Boxes`.
        height: height of the images.
        width: width of the images.
    """
    corners = y[..., :4] * y.new_tensor([width, height, width, height])
    return corners, y[..., CODE].long(), (y[..., CODE] >= 0) & (y[..., CROWD] == 0)


def with_loss(loss: Tensor, detections: Tensor, number: Tensor | None = None) -> Tensor:
    """Return the output of a detection model given targets, `(N, 2 + D * 6)`: loss, weight, and detections.

    Loss and weight of a row are its shares of the batch's sum of losses and number of objects, so that the loss of rows
    of several batches is the quotient of their sums, as it is within a batch.

    Args:
        loss: the mean loss over the images, or over `number` objects, a scalar. Without an object, it is the sum.
        detections: left, top, right and bottom as shares of the image's sides, score and class, in descending order of
            scores, `(N, D, 6)`; the class of padding is -1. In training mode there are none, `(N, 0, 6)`.
        number: number of objects that the loss is divided by, a scalar; None for a mean over the images.
    """
    rows = len(detections)
    shares = [loss, torch.ones_like(loss)]
    if number is not None:
        shares = [loss * number.clamp_min(1) / rows, number.to(loss) / rows]
    return torch.cat([*(share.expand(rows, 1) for share in shares), detections.flatten(1)], dim=1)


def chosen_detections(
    scores: Tensor, corners: Tensor, size: tuple[int, int], most: int, candidates: int, overlap: float
) -> Tensor:
    """Return the highest-scoring detections after non-maximum suppression within each class, `(N, most, 6)`.

    All shapes are fixed, so that the selection can be exported with the network.

    Args:
        scores: score of each class at each position `(N, A, C)`.
        corners: the box at each position, in pixels, `(N, A, 4)`.
        size: height and width of the images.
        most: number of detections.
        candidates: number of highest-scoring detections that enter non-maximum suppression.
        overlap: IoU threshold of non-maximum suppression within each class; 1 keeps all detections.
    """
    places, classes = scores.shape[1:]
    tried = min(max(candidates, most), places * classes)
    best, index = scores.flatten(1).topk(tried, dim=1)
    label, place = index % classes, torch.div(index, classes, rounding_mode="floor")
    boxes = corners.gather(1, place[..., None].expand(-1, -1, 4))
    height, width = size
    boxes = (boxes / boxes.new_tensor([width, height, width, height])).clamp(0, 1)
    if overlap < 1:
        best = best * _kept(boxes, label, overlap)
    best, order = best.topk(min(most, tried), dim=1)
    label = torch.where(best > 0, label.gather(1, order), -1)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4)) * (label >= 0)[..., None]
    return torch.cat([boxes, best[..., None], label[..., None].to(best)], dim=2)


def _kept(boxes: Tensor, label: Tensor, overlap: float) -> Tensor:
    """Return 1 for detections to keep, else 0, `(N, D)`, by non-maximum suppression as matrix products.

    A detection is dropped if it overlaps a kept one with a higher score. This is a fixed-point iteration, which
    converges after as many rounds as the longest chain of such detections.
    """
    own, other = boxes[:, :, None], boxes[:, None]
    low, high = torch.maximum(own[..., :2], other[..., :2]), torch.minimum(own[..., 2:], other[..., 2:])
    both = (high - low).clamp_min(0).prod(dim=3)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    over = both > overlap * (area[:, :, None] + area[:, None] - both).clamp_min(1e-12)
    before = torch.ones(boxes.shape[1], boxes.shape[1], device=boxes.device).tril(-1)
    drops = (over & (label[:, :, None] == label[:, None])).to(boxes) * before  # (N, D, those before it)
    keep = torch.ones_like(area)
    for _ in range(_ROUNDS):
        keep = ((drops * keep[:, None]).amax(dim=2) == 0).to(boxes)
    return keep

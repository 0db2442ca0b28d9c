"""What models of detection return, the targets that they are trained with, and the choice of detections."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.datasets.boxes.boxes import CODE, CROWD

# Rounds of the suppression, which ends when a chain of overlapping detections is no longer than that.
_ROUNDS = 8


def pixel_boxes(y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return corners in pixels `(N, T, 4)`, classes `(N, T)`, and which places hold a box that counts `(N, T)`.

    Args:
        y: padded boxes `(N, T, 6)` of `dlcli.datasets.boxes.boxes.Boxes`.
        height: height of the images.
        width: width of the images.
    """
    corners = y[..., :4] * y.new_tensor([width, height, width, height])
    return corners, y[..., CODE].long(), (y[..., CODE] >= 0) & (y[..., CROWD] == 0)


def in_crowds(y: Tensor, centres: Tensor, classes: int) -> Tensor:
    """Return which places lie in a crowd of each class, `(N, C, H, W)`: what is there is neither object nor background.

    Args:
        y: padded boxes `(N, T, 6)`, corners in pixels.
        centres: x and y of each place in pixels `(2, H, W)`.
        classes: number of classes.
    """
    corners = y[..., :4, None, None]
    inside = ((centres >= corners[:, :, :2]) & (centres <= corners[:, :, 2:])).all(dim=2)
    crowd = (y[..., CODE, None] == torch.arange(classes, device=y.device)) & (y[..., CROWD, None] > 0)
    return torch.einsum("ntc,nthw->nchw", crowd.to(centres), inside.to(centres)) > 0


def with_loss(loss: Tensor, detections: Tensor) -> Tensor:
    """Return what a model of detection returns with targets, `(N, 1 + D * 6)`: the loss of the batch, and detections.

    Args:
        loss: the mean loss over the images, a scalar.
        detections: left, top, right and bottom as shares of the image's sides, score and class, in the order of the
            scores, `(N, D, 6)`; places without a detection have the class -1. In training there are none, `(N, 0, 6)`.
    """
    return torch.cat([loss.expand(len(detections), 1), detections.flatten(1)], dim=1)


def chosen_detections(
    scores: Tensor, corners: Tensor, size: tuple[int, int], most: int, candidates: int, overlap: float
) -> Tensor:
    """Return the surest detections that do not overlap others of their class, `(N, most, 6)`.

    All shapes are fixed, so that the choice can be exported with the network.

    Args:
        scores: score of each class at each place `(N, A, C)`.
        corners: the box at each place, in pixels, `(N, A, 4)`.
        size: height and width of the images.
        most: number of detections.
        candidates: number of the surest ones that are compared with each other.
        overlap: overlap (IoU) from which of two detections of a class the less sure one is dropped; 1 drops none.
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
    """Return 1 for detections to keep, else 0, `(N, D)`: non-maximum suppression within each class, by matrices.

    A detection is dropped if one with a higher score that is kept overlaps it. This is a fixed point, which is reached
    after as many rounds as the longest chain of such detections has members.
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

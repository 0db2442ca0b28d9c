"""Matching of detections with the boxes of their images, as in COCO's evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.datasets.boxes.boxes import CODE, CROWD

# IoU thresholds at which a detection is correct: 0.5, 0.55, ..., 0.95, rounded as in torchmetrics.
OVERLAPS = tuple(torch.linspace(0.5, 0.95, 10).tolist())

# Columns of a detection.
SCORE, LABEL, DETECTION = 4, 5, 6

# Scores and coordinates that differ by less are considered equal up to rounding.
_ROUNDED = 1e-3

# Number of images matched at a time.
_BLOCK = 256


def box_overlaps(detections: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union, and over the detection's own area, of all pairs `(N, D, T)`.

    Args:
        detections: left, top, right and bottom in the first columns, `(N, D, ...)`.
        boxes: likewise for boxes, `(N, T, ...)`.
    """
    own, other = detections[:, :, None], boxes[:, None]
    wide = (torch.minimum(own[..., 2], other[..., 2]) - torch.maximum(own[..., 0], other[..., 0])).clamp_min(
        0
    )
    high = (torch.minimum(own[..., 3], other[..., 3]) - torch.maximum(own[..., 1], other[..., 1])).clamp_min(
        0
    )
    both = wide * high
    area = (own[..., 2] - own[..., 0]) * (own[..., 3] - own[..., 1])
    union = area + (other[..., 2] - other[..., 0]) * (other[..., 3] - other[..., 1]) - both
    return both / union.clamp_min(1e-12), both / area.clamp_min(1e-12)


def matched_boxes(detections: Tensor, boxes: Tensor) -> Tensor:
    """Return score, label, and the overlaps at which each detection is correct or ignored, `(N, D, 4)`.

    In descending order of scores, each detection is matched with the unmatched box of its class that it overlaps most.
    An unmatched detection within a crowd of its class is ignored. The last two columns are bit masks; bit k refers to
    the k-th of `OVERLAPS`. Detections with a negative label are padding.

    Args:
        detections: detections in descending order of scores, `(N, D, 6)`.
        boxes: padded boxes `(N, T, 6)`.

    The rules follow `COCOeval.evaluateImg` of pycocotools.
    """
    parts = zip(detections.split(_BLOCK), boxes.split(_BLOCK), strict=True)
    found = [
        torch.cat([own[..., SCORE:], _bits(own.double(), y.double())[0].to(own)], dim=2) for own, y in parts
    ]
    return torch.cat(found) if found else detections.new_zeros(0, detections.shape[1], 4)


def found_boxes(detections: Tensor, boxes: Tensor) -> Tensor:
    """Return whether each box has a correct detection at an overlap of 0.5, bool `(N, T)`; see `matched_boxes`."""
    parts = zip(detections.split(_BLOCK), boxes.split(_BLOCK), strict=True)
    found = [_bits(own.double(), y.double())[1] for own, y in parts]
    return torch.cat(found) if found else torch.zeros(boxes.shape[:2], dtype=torch.bool)


def paired_detections(found: Tensor, expected: Tensor) -> Tensor:
    """Return the detections of `found` that are closest to those of `expected`, in the order of `expected`, `(N, D,
    6)`.

    Rounding may reorder detections and change the last ones of an image: a detection of `expected` whose score equals
    that of the last one up to rounding is paired with itself if `found` has none close to it.

    Args:
        found: detections of an exported program `(N, D, 6)`.
        expected: detections of the model `(N, D, 6)`.
    """
    away = (expected[:, :, None] - found[:, None]).abs().amax(dim=3)
    nearest = away.argmin(dim=2)
    ordered = found.gather(1, nearest[..., None].expand(-1, -1, DETECTION))
    scores = expected[..., SCORE]
    is_last = scores <= scores[:, -1:] + _ROUNDED
    lost = (away.amin(dim=2) > _ROUNDED) & is_last
    return torch.where(lost[..., None], expected, ordered)


def _bits(detections: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two bit masks of each detection `(N, D, 2)`, and whether each box is found at the lowest overlap."""
    rows, most = detections.shape[:2]
    least = torch.tensor([min(value, 1 - 1e-10) for value in OVERLAPS]).to(detections)
    bits = 2 ** torch.arange(len(OVERLAPS), device=detections.device)
    found = detections.new_zeros(rows, most, 2)
    if not most or not boxes.shape[1]:
        return found, torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    boxes = boxes.flip(1)  # the last box of equal overlap is matched
    over, within = box_overlaps(detections, boxes)
    same = (detections[..., None, LABEL] == boxes[:, None, :, CODE]) & (boxes[:, None, :, CODE] >= 0)
    crowd = boxes[:, None, :, CROWD] > 0
    over = over.masked_fill(~same | crowd, -1.0)
    in_crowd = within.masked_fill(~same | ~crowd, -1.0).amax(dim=2)
    taken = torch.zeros(rows, len(OVERLAPS), boxes.shape[1], dtype=torch.bool, device=boxes.device)
    last = int((detections[..., LABEL] >= 0).sum(dim=1).max())
    for rank in range(last):
        best, place = over[:, rank, None].masked_fill(taken, -1.0).max(dim=2)
        hit = best >= least
        taken.scatter_(2, place[..., None], hit[..., None] | taken.gather(2, place[..., None]))
        ignored = ~hit & (in_crowd[:, rank, None] >= least)
        found[:, rank, 0] = (hit * bits).sum(dim=1).to(found)
        found[:, rank, 1] = (ignored * bits).sum(dim=1).to(found)
    return found, taken[:, 0].flip(1)

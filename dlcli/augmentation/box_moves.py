"""Moving boxes as their images are moved."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.datasets.boxes.boxes import CODE, PADDING

# Least share of a box that is left within the image.
_VISIBLE = 0.25


def moving(across: Tensor, down: Tensor, right: Tensor | None = None, below: Tensor | None = None) -> Tensor:
    """Return affine maps `(N, 2, 3)` of coordinates from -1 to 1: scales along both axes, and shifts, `(N,)` each."""
    zero = torch.zeros_like(across)
    rows = [
        torch.stack([across, zero, zero if right is None else right], dim=1),
        torch.stack([zero, down, zero if below is None else below], dim=1),
    ]
    return torch.stack(rows, dim=1)


def moved_boxes(boxes: Tensor, matrix: Tensor) -> Tensor:
    """Return the boxes that enclose moved ones, within the image; those hardly left in it become padding.

    Args:
        boxes: padded boxes `(N, T, 6)`, with shares of the image's sides.
        matrix: the affine map of each image's coordinates, which run from -1 to 1 along either side, `(N, 2, 3)`.
    """
    left, top, right, bottom = (2 * boxes[..., :4] - 1).unbind(dim=2)
    corners = torch.stack(
        [torch.stack([x, y], dim=2) for x in (left, right) for y in (top, bottom)], dim=2
    )  # (N, T, 4, 2)
    moved = torch.einsum("nij,ntkj->ntki", matrix[:, :, :2], corners) + matrix[:, None, None, :, 2]
    low, high = (moved.amin(dim=2) + 1) / 2, (moved.amax(dim=2) + 1) / 2
    inside = torch.cat([low.clamp(0, 1), high.clamp(0, 1)], dim=2)
    area = (high - low).prod(dim=2).clamp_min(1e-12)
    kept = (boxes[..., CODE] >= 0) & ((inside[..., 2:] - inside[..., :2]).prod(dim=2) >= _VISIBLE * area)
    rest = torch.where(kept, boxes[..., CODE], float(PADDING))
    return torch.cat([inside, rest[..., None], boxes[..., CODE + 1 :]], dim=2)

"""What models of detection return, and the targets that they are trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dlcli.datasets.boxes.boxes import CODE, CROWD


def pixel_boxes(y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return corners in pixels `(N, T, 4)`, classes `(N, T)`, and which places hold a box that counts `(N, T)`.

    Args:
        y: padded boxes `(N, T, 6)` of `dlcli.datasets.boxes.boxes.Boxes`.
        height: height of the images.
        width: width of the images.
    """
    corners = y[..., :4] * y.new_tensor([width, height, width, height])
    return corners, y[..., CODE].long(), (y[..., CODE] >= 0) & (y[..., CROWD] == 0)


def packed_detections(loss: Tensor | None, detections: Tensor) -> Tensor:
    """Return what a model of detection returns, `(N, 1 + D * 6)`: the loss of the batch, and the detections.

    Args:
        loss: the mean loss over the images, a scalar; None without targets.
        detections: left, top, right and bottom as shares of the image's sides, score and class, in the order of the
            scores, `(N, D, 6)`; places without a detection have the class -1.
    """
    rows = len(detections)
    first = detections.new_full((), torch.nan) if loss is None else loss
    return torch.cat([first.expand(rows, 1), detections.flatten(1)], dim=1)


def padded_detections(
    found: Sequence[Mapping[str, Tensor]], most: int, height: int, width: int, first_label: int
) -> Tensor:
    """Return detections in torchvision's form as `packed_detections` takes them, `(N, D, 6)`.

    Args:
        found: for each image its `boxes` in pixels, `scores`, and `labels` from `first_label` on.
        most: D, the number of places.
        height: height of the images.
        width: width of the images.
        first_label: the label of the first class.
    """
    rows = []
    for one in found:
        scale = one["boxes"].new_tensor([width, height, width, height])
        label = (one["labels"] - first_label).to(scale)[:, None]
        row = torch.cat([one["boxes"] / scale, one["scores"][:, None], label], dim=1)[:most]
        # Padded by a constant number of lines and cut, so that an exported program needs no branch.
        filled = functional.pad(row, (0, 0, 0, most))[:most]
        empty = (torch.arange(most, device=row.device) >= row.shape[0])[:, None]
        pad = scale.new_tensor([0.0, 0.0, 0.0, 0.0, 0.0, -1.0])
        rows.append(torch.where(empty, pad, filled))
    return torch.stack(rows)

"""Crowds: regions of unlabelled objects of a class, which are trained neither as objects nor as background."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.ssd import SSD

from dlcli.datasets.boxes.boxes import CODE, CROWD

# Share of a box's area within a crowd from which the box is ignored: COCO's evaluation at its first overlap.
_SHARE = 0.5
# Name of the number of anchors with a box among the losses.
MATCHED = "matched"
# Logit of a probability of 0 that has no loss and no gradient.
_NEVER = -1e4


def in_crowds(y: Tensor, centres: Tensor, classes: int) -> Tensor:
    """Return a mask `(N, C, H, W)` of positions within a crowd of each class, which are neither object nor background.

    Args:
        y: padded boxes `(N, T, 6)`, corners in pixels.
        centres: x and y of each position in pixels `(2, H, W)`.
        classes: number of classes.
    """
    corners = y[..., :4, None, None]
    inside = ((centres >= corners[:, :, :2]) & (centres <= corners[:, :, 2:])).all(dim=2)
    crowd = (y[..., CODE, None] == torch.arange(classes, device=y.device)) & (y[..., CROWD, None] > 0)
    return torch.einsum("ntc,nthw->nchw", crowd.to(centres), inside.to(centres)) > 0


class _Unlabelled:
    """Mixin of the losses of anchors: anchors within a crowd are not trained as background of the crowd's class."""

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """Return torchvision's losses, which SSD and FCOS divide by the number of anchors with a box, as `matched`.

        Args:
            targets: `boxes`, `labels`, `crowds` `(K, 4)` and `crowd_labels` `(K,)` of each image.
            head_outputs: outputs for each anchor, of which `cls_logits` are those of the labels `(N, A, L)`.
            anchors: corners in pixels `(A, 4)` of each image.
            matched_idxs: place of each anchor's box, or a negative number, `(A,)` of each image.
        """
        logits = head_outputs["cls_logits"]
        if any(len(own["crowds"]) for own in targets):
            ignored = torch.zeros_like(logits, dtype=torch.bool)
            for row, own, boxes, matched in zip(ignored, targets, anchors, matched_idxs, strict=True):
                for inside, label in zip(_within(boxes, own["crowds"]), own["crowd_labels"], strict=True):
                    row[inside & (matched < 0), label] = True
            logits = logits.masked_fill(ignored, _NEVER)
        losses: dict[str, Tensor] = super().compute_loss(  # type: ignore[misc]
            targets, {**head_outputs, "cls_logits": logits}, anchors, matched_idxs
        )
        return {**losses, MATCHED: torch.stack([(own >= 0).sum() for own in matched_idxs]).sum()}


class CrowdSSD(_Unlabelled, SSD):
    """SSD with crowds."""


class CrowdFCOSHead(_Unlabelled, FCOSHead):
    """Layers and losses of FCOS with crowds."""


class CrowdRetinaNetHead(_Unlabelled, RetinaNetHead):
    """Layers and losses of RetinaNet with crowds."""


class CrowdProposals(RegionProposalNetwork):
    """The first stage of Faster R-CNN, which does not sample anchors within a crowd as background."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the label of each anchor `(A,)`, 1 for objects, 0 for background, -1 for ignored, and its box."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, own, target in zip(labels, anchors, targets, strict=True):
            _ignore(label, own, target["crowds"])
        return labels, boxes


class CrowdHeads(RoIHeads):
    """The second stage of Faster R-CNN, which does not sample proposals within a crowd as background."""

    def select_training_samples(
        self, proposals: list[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> Any:
        """Return the proposals to train with, their boxes and labels."""
        self._crowds = [target["crowds"] for target in targets or ()]
        return super().select_training_samples(proposals, targets)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the box of each proposal `(P,)`, and its label, 0 for background, -1 for ignored."""
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for label, own, crowds in zip(labels, proposals, self._crowds, strict=True):
            _ignore(label, own, crowds)
        return matched, labels


def _ignore(labels: Tensor, boxes: Tensor, crowds: Tensor) -> None:
    """Set the label of background boxes within a crowd to -1, in place.

    One box keeps its label if all would be ignored, since the mean loss of no box is nan.
    """
    if not len(crowds):
        return
    ignored = _within(boxes, crowds).any(dim=0) & (labels == 0)
    if not ((labels >= 0) & ~ignored).any():
        ignored[ignored.nonzero()[:1]] = False
    labels[ignored] = -1


def _within(boxes: Tensor, crowds: Tensor) -> Tensor:
    """Return whether at least half of each box `(A, 4)` lies in each crowd `(K, 4)`, as `(K, A)`."""
    low = torch.maximum(boxes[None, :, :2], crowds[:, None, :2])
    high = torch.minimum(boxes[None, :, 2:], crowds[:, None, 2:])
    both = (high - low).clamp_min(0).prod(dim=2)
    return both >= _SHARE * (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)

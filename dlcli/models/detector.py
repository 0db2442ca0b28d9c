"""The detectors of torchvision (SSDlite, FCOS, RetinaNet, Faster R-CNN) on any timm backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, MinLen, MultipleOf
from torch import Tensor

from dlcli.datasets.boxes.boxes import CROWD
from dlcli.models.crowds import MATCHED
from dlcli.models.detections import chosen_detections, pixel_boxes, with_loss
from dlcli.models.layers import Size
from dlcli.models.timm_backbone import FeatureMaps
from dlcli.models.timm_model import TimmOptions
from dlcli.models.torchvision_heads import made_head


class Detector(FeatureMaps):
    """A timm backbone with the anchors, layers and losses of a detector of torchvision.

    Images are bytes (or floats from 0 to 255), which the model scales as in the weights' training, and pads.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: number of classes.
        architecture: `ssdlite` (Sandler et al., 2018), `fcos` (Tian et al., 2019), `retinanet` (Lin et al., 2017) or
            `faster_rcnn` (Ren et al., 2015).
        backbone: timm's name of a model that returns features of several sizes, such as `mobilenetv2_100`.
        width: number of channels of the pyramid of features (Lin et al., 2017) and of the layers on it, which FCOS
            normalizes in 32 groups; SSDlite has no pyramid.
        detections: most detections of an image.
        nms: overlap (IoU) from which of two detections of a class the less sure one is dropped; 1 drops none.
        candidates: number of the surest detections that are compared with each other.
        options: fields of `TimmOptions`.
    """

    targets: ClassVar = {"detection"}
    monitor: ClassVar = "val/map_50"
    loss_arguments: ClassVar = {"architecture"}
    requires: ClassVar = ("timm", "torchvision")

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        architecture: Literal["ssdlite", "fcos", "retinanet", "faster_rcnn"] = "ssdlite",
        backbone: Annotated[str, MinLen(1)] = "mobilenetv2_100",
        width: Annotated[Size, MultipleOf(64)] = 128,
        detections: Annotated[int, Ge(1), Le(1000)] = 100,
        nms: Annotated[float, Gt(0), Le(1)] = 0.55,
        candidates: Annotated[int, Ge(1), Le(5000)] = 300,
        **options: Annotated[Any, TimmOptions],
    ) -> None:
        super().__init__()
        self.set_backbone(backbone, input_shape, TimmOptions(**options))
        self.architecture, self.detections, self.nms, self.candidates = (
            architecture,
            detections,
            nms,
            candidates,
        )
        if architecture == "faster_rcnn":
            self.not_accumulated = "anchors and proposals are drawn from each image"
            self.not_exported = "the second stage of Faster R-CNN depends on what the first one finds"
        self._size = self.height + self.padding[0], self.width + self.padding[1]
        # SSD and Faster R-CNN have an output for the background, before those of the classes.
        self._first_label = int(architecture in ("ssdlite", "faster_rcnn"))
        info: Any = self.backbone.feature_info
        finest = 16 if architecture == "ssdlite" else 8
        self._used = [step for step, reduction in enumerate(info.reduction()) if reduction >= finest]
        depths = [info.channels()[step] for step in self._used]
        self.head: Any = made_head(architecture, depths, num_outputs, width, self._size, detections, nms)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map images to detections `(N, D, 6)`; with padded boxes `(N, T, 6)`, to the loss and detections (see
        `with_loss`).

        In training mode there are no detections.
        """
        x = self.padded(x)
        features = self.backbone(x)
        pyramid = self.head.backbone([features[step] for step in self._used])
        targets = None if y is None else self._targets(y)
        if self.architecture == "faster_rcnn":
            losses, found = self._two_stages(x, pyramid, targets)
        else:
            losses, found = self._one_stage(x, list(pyramid.values()), targets)
        if not losses:
            return found
        number = losses.pop(MATCHED, None)
        # RetinaNet divides by the anchors of each image, and Faster R-CNN by about the same number of them.
        per_image = self.architecture in ("retinanet", "faster_rcnn")
        return with_loss(sum(losses.values(), x.new_zeros(())), found, None if per_image else number)

    def _targets(self, y: Tensor) -> list[dict[str, Tensor]]:
        """Return the boxes and crowds of each image in torchvision's form."""
        boxes, codes, there = pixel_boxes(y.float(), self.height, self.width)
        crowds, labels = y[..., CROWD] > 0, codes + self._first_label
        # Boxes without area after augmentation cannot be encoded.
        there = there & ((boxes[..., 2:] - boxes[..., :2]) > 1e-3).all(dim=2)
        return [
            {"boxes": own[keep], "labels": label[keep], "crowds": own[crowd], "crowd_labels": label[crowd]}
            for own, label, keep, crowd in zip(boxes, labels, there, crowds, strict=True)
        ]

    def _images(self, x: Tensor, number: int) -> Any:
        from torchvision.models.detection.image_list import ImageList

        return ImageList(x, [self._size] * number)

    def _one_stage(
        self, x: Tensor, features: list[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses, if there are targets, and the detections."""
        outputs = {name: values.float() for name, values in self.head.head(features).items()}
        (anchors,) = self.head.anchor_generator(self._images(x, 1), features)
        losses: dict[str, Tensor] = {}
        if targets is not None:
            of_each = [anchors] * len(x)
            if self.architecture == "ssdlite":
                losses = self.head.compute_loss(targets, outputs, of_each, self._matches(targets, anchors))
            elif self.architecture == "fcos":
                levels = [values.shape[2] * values.shape[3] for values in features]
                losses = self.head.compute_loss(targets, outputs, of_each, levels)
            else:
                losses = self.head.compute_loss(targets, outputs, of_each)
        if self.training:
            return losses, x.new_empty(len(x), 0, 6)
        logits, sides = outputs["cls_logits"], outputs["bbox_regression"]
        if self.architecture == "ssdlite":
            scores = logits.softmax(dim=-1)[..., 1:]
        elif self.architecture == "fcos":
            scores = (logits.sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()
        else:
            scores = logits.sigmoid()
        decode = (
            self.head.box_coder.decode if self.architecture == "fcos" else self.head.box_coder.decode_single
        )
        # `len(x)` would make the number of rows constant in an exported program.
        corners = decode(sides.flatten(0, 1), anchors.repeat(x.shape[0], 1)).unflatten(0, sides.shape[:2])
        size = self.height, self.width
        return losses, chosen_detections(scores, corners, size, self.detections, self.candidates, self.nms)

    def _matches(self, targets: list[dict[str, Tensor]], anchors: Tensor) -> list[Tensor]:
        """Return the box that each anchor of SSD is matched with, or -1, for each image."""
        from torchvision.ops import box_iou

        none = anchors.new_full((len(anchors),), -1, dtype=torch.long)
        return [
            self.head.proposal_matcher(box_iou(own["boxes"], anchors)) if len(own["boxes"]) else none
            for own in targets
        ]

    def _two_stages(
        self, x: Tensor, pyramid: Mapping[str, Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses of Faster R-CNN, if there are targets, and the detections."""
        images = self._images(x, len(x))
        losses: dict[str, Tensor] = {}
        if targets is not None:
            # Both stages compute losses only in training mode. They have no other layers that depend on the mode.
            with _in_mode(self.head, training=True):
                proposals, first = self.head.rpn(images, pyramid, targets)
                _, second = self.head.roi_heads(pyramid, proposals, images.image_sizes, targets)
            losses = {**first, **second}
        if self.training:
            return losses, x.new_empty(len(x), 0, 6)
        with _in_mode(self.head, training=False):
            proposals, _ = self.head.rpn(images, pyramid)
            found, _ = self.head.roi_heads(pyramid, proposals, images.image_sizes)
        return losses, self._padded(found, x)

    def _padded(self, found: list[dict[str, Tensor]], x: Tensor) -> Tensor:
        """Return torchvision's detections of each image as `(N, D, 6)`."""
        rows = x.new_zeros(len(found), self.detections, 6, dtype=torch.float32)
        rows[..., 5] = -1
        scale = rows.new_tensor([self.width, self.height, self.width, self.height])
        for row, own in zip(rows, found, strict=True):
            number = len(own["boxes"])
            row[:number, :4] = (own["boxes"] / scale).clamp(0, 1)
            row[:number, 4] = own["scores"]
            row[:number, 5] = (own["labels"] - self._first_label).to(rows)
        return rows


class _in_mode:  # noqa: N801 used as a context manager
    """Context that sets the mode of the stages of Faster R-CNN, but not that of their layers."""

    def __init__(self, head: Any, *, training: bool) -> None:
        self._stages = [head.rpn, head.roi_heads]
        self._before = [stage.training for stage in self._stages]
        self._mode = training

    def __enter__(self) -> None:
        for stage in self._stages:
            stage.training = self._mode

    def __exit__(self, *error: object) -> None:
        for stage, before in zip(self._stages, self._before, strict=True):
            stage.training = before

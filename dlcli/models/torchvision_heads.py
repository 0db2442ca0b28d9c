"""Parts of torchvision's detectors after the backbone: additional features, anchors, heads and losses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from dlcli.models.crowds import CrowdFCOSHead, CrowdHeads, CrowdProposals, CrowdRetinaNetHead, CrowdSSD

# Numbers of channels of the additional features of SSDlite, each with half the height and width.
_EXTRA = (512, 256, 256, 128)
# Sides in pixels of the anchors of Faster R-CNN, from the finest features on.
_ANCHORS = (32, 64, 128, 256)

_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)


def made_head(
    architecture: str,
    depths: Sequence[int],
    classes: int,
    width: int,
    size: tuple[int, int],
    detections: int,
    nms: float,
) -> nn.Module:
    """Return a torchvision detector that takes features instead of images.

    Args:
        architecture: ssdlite, fcos, retinanet or faster_rcnn.
        depths: number of channels of the backbone's features, from the finest on.
        classes: number of classes.
        width: number of channels of the feature pyramid.
        size: height and width of the images.
        detections: maximum number of detections per image.
        nms: IoU threshold of non-maximum suppression.
    """
    if architecture == "ssdlite":
        more = _MoreFeatures(depths)
        boxes = DefaultBoxGenerator([[2, 3] for _ in more.depths], min_ratio=0.2, max_ratio=0.95)
        layers = SSDLiteHead(more.depths, boxes.num_anchors_per_location(), classes + 1, _norm)
        return CrowdSSD(more, boxes, size[::-1], classes + 1, head=layers)
    if architecture == "faster_rcnn":
        anchors = AnchorGenerator(
            tuple((side,) for side in _ANCHORS[: len(depths) + 1]), ((0.5, 1.0, 2.0),) * (len(depths) + 1)
        )
        names = [str(level) for level in range(len(depths))]
        stages = FasterRCNN(
            _Pyramid(depths, width, LastLevelMaxPool()),
            classes + 1,
            rpn_anchor_generator=anchors,
            box_roi_pool=MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2),
            box_detections_per_img=detections,
            box_nms_thresh=nms,
        )
        # FasterRCNN creates its stages itself, from classes that cannot be given.
        stages.rpn.__class__, stages.roi_heads.__class__ = CrowdProposals, CrowdHeads
        return stages
    pyramid = _Pyramid(depths, width, LastLevelP6P7(width, width))
    levels = range(len(depths) + 2)
    if architecture == "fcos":
        anchors = AnchorGenerator(tuple((8 << level,) for level in levels), ((1.0,),) * len(levels))
        return FCOS(pyramid, classes, anchor_generator=anchors, head=CrowdFCOSHead(width, 1, classes))
    sides = tuple(
        (base, int(base * 2 ** (1 / 3)), int(base * 2 ** (2 / 3)))
        for base in (32 << level for level in levels)
    )
    anchors = AnchorGenerator(sides, ((0.5, 1.0, 2.0),) * len(sides))
    layers = CrowdRetinaNetHead(width, anchors.num_anchors_per_location()[0], classes)
    return RetinaNet(pyramid, classes, anchor_generator=anchors, head=layers)


class _Pyramid(nn.Module):
    """Feature pyramid with a common number of channels."""

    def __init__(self, depths: Sequence[int], width: int, extra: nn.Module) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(list(depths), width, extra)
        self.out_channels = width

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Map features, from the finest on, to those of the pyramid."""
        found: dict[str, Tensor] = self.fpn(
            OrderedDict((str(n), values) for n, values in enumerate(features))
        )
        return found


class _MoreFeatures(nn.Module):
    """Features and additional coarser ones."""

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        self.depths = [*depths, *_EXTRA]
        self.out_channels = self.depths[-1]
        layer = partial(Conv2dNormActivation, norm_layer=_norm, activation_layer=nn.ReLU6)
        self.extra = nn.ModuleList(
            nn.Sequential(
                layer(inputs, outputs // 2, kernel_size=1),
                layer(outputs // 2, outputs // 2, kernel_size=3, stride=2, groups=outputs // 2),
                layer(outputs // 2, outputs, kernel_size=1),
            )
            for inputs, outputs in zip(self.depths[len(depths) - 1 :], _EXTRA, strict=False)
        )

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Map features, from the finest on, to these and additional coarser ones."""
        found = list(features)
        for one in self.extra:
            found.append(one(found[-1]))
        return OrderedDict((str(level), values) for level, values in enumerate(found))

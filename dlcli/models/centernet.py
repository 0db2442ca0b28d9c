"""A small anchor-free detector that predicts a heatmap of box centres per class, and the box at each centre.

Zhou et al., "Objects as points", 2019, with the training targets of Liu et al., "Training-time-friendly network for
real-time object detection", 2020, which use all pixels near a centre and converge in fewer epochs.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor, nn
from torch.nn import functional

from dlcli.datasets.boxes.boxes import CROWD
from dlcli.models.crowds import in_crowds
from dlcli.models.detections import chosen_detections, pixel_boxes, with_loss
from dlcli.models.layers import Size
from dlcli.models.timm_backbone import FeatureMaps
from dlcli.models.timm_model import TimmOptions

# Share of a box around its centre that is trained, and of its side that are six deviations of its Gaussian.
_CENTRE = 0.54
# Initial bias of the heatmaps, for an initial probability of 0.01.
_RARE = -4.6


class CenterNet(FeatureMaps):
    """A timm backbone, a path back to a fine resolution, and maps of centres and of boxes.

    Images are bytes (or floats from 0 to 255), which the model scales as in the weights' training, and pads. A
    detection is a local maximum of a heatmap: a position with a higher score than its eight neighbours.

    Args:
        input_shape: channels, height and width of an image.
        num_outputs: number of classes.
        backbone: timm's name of a model that returns features of several sizes, such as `mobilenetv2_100`.
        stride: pixels that a place of the maps is one of, along each side.
        width: number of channels of the path back, and of the maps' layers.
        detections: most detections of an image.
        nms: overlap (IoU) from which of two detections of a class the less sure one is dropped; 1 drops none.
        box_weight: weight of the boxes' loss (generalized IoU) beside that of the centres (focal).
        options: fields of `TimmOptions`.
    """

    targets: ClassVar = {"detection"}
    monitor: ClassVar = "val/map_50"
    loss_arguments: ClassVar = {"box_weight"}
    search_space: ClassVar = {"width": "32,64,128", "box_weight": "tag(log,interval(1,10))"}

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_outputs: int,
        backbone: Annotated[str, MinLen(1)] = "mobilenetv2_100",
        stride: Literal[4, 8, 16] = 8,
        width: Size = 64,
        detections: Annotated[int, Ge(1), Le(1000)] = 100,
        nms: Annotated[float, Gt(0), Le(1)] = 0.6,
        box_weight: Annotated[float, Gt(0)] = 5.0,
        **options: Annotated[Any, TimmOptions],
    ) -> None:
        super().__init__()
        self.set_backbone(backbone, input_shape, TimmOptions(**options))
        self.stride, self.detections, self.nms, self.box_weight = stride, detections, nms, box_weight
        info: Any = self.backbone.feature_info
        self._used = [step for step, reduction in enumerate(info.reduction()) if reduction >= stride]
        depths = [info.channels()[step] for step in self._used]

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            )

        self.head = nn.ModuleDict(
            {
                "lateral": nn.ModuleList(nn.Conv2d(depth, width, 1) for depth in depths),
                "merge": nn.ModuleList(layer(width) for _ in depths[1:]),
                "centres": nn.Sequential(layer(width), nn.Conv2d(width, num_outputs, 1)),
                "sides": nn.Sequential(layer(width), nn.Conv2d(width, 4, 1)),
            }
        )
        centres: Any = self.head["centres"]
        last = centres[-1]
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, _RARE)
        rows, columns = (
            (side + pad) // stride for side, pad in zip((self.height, self.width), self.padding, strict=True)
        )
        grid = torch.stack(
            [
                (torch.arange(columns) + 0.5).expand(rows, columns) * stride,
                (torch.arange(rows) + 0.5)[:, None].expand(rows, columns) * stride,
            ]
        )
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map images to detections `(N, D, 6)`; with padded boxes `(N, T, 6)`, to the loss and detections (see
        `with_loss`).

        In training mode there are no detections.
        """
        centres, corners = self._maps(x)
        found = centres.new_empty(len(x), 0, 6) if self.training else self._detected(centres, corners)
        if y is None:
            return found
        loss, number = self._loss(centres, corners, y)
        return with_loss(loss, found, number)

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of centres `(N, C, H, W)`, and corners of the box at each place in pixels `(N, 4, H, W)`."""
        found = self.backbone(self.padded(x))
        lateral: Any = self.head["lateral"]
        merge: Any = self.head["merge"]
        features = [one(found[step]) for one, step in zip(lateral, self._used, strict=True)]
        path = features.pop()
        for one in merge:
            path = one(functional.interpolate(path, scale_factor=2.0, mode="nearest") + features.pop())
        centres: Tensor = self.head["centres"](path)
        sides = self.head["sides"](path).float().clamp(max=8).exp() * self.stride
        grid: Any = self.grid
        return centres.float(), torch.cat([grid - sides[:, :2], grid + sides[:, 2:]], dim=1)

    def _loss(self, centres: Tensor, corners: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss over the boxes, and their number."""
        if not y.shape[1]:
            y = functional.pad(y, (0, 0, 0, 1), value=-1.0)
        boxes, codes, there = pixel_boxes(y.float(), self.height, self.width)
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        sides = (boxes[..., 2:] - boxes[..., :2]).clamp_min(1e-3)
        grid: Any = self.grid
        # The Gaussian is centred on the grid position that contains the box centre, so that its peak is 1.
        peak = (middle / self.stride).floor() * self.stride + self.stride / 2
        away = (grid[None, None] - peak[..., None, None]).abs()  # (N, T, 2, H, W)
        deviation = (_CENTRE * sides / 6).clamp_min(self.stride / 6)[..., None, None]
        heat = (-0.5 * (away / deviation) ** 2).sum(dim=2).exp() * there[..., None, None]
        of_class = codes.clamp_min(0)[..., None, None].expand_as(heat)
        target = torch.zeros_like(centres).scatter_reduce_(1, of_class, heat, "amax")
        number = there.sum()
        chance, log_chance, log_other = (
            centres.sigmoid(),
            functional.logsigmoid(centres),
            functional.logsigmoid(-centres),
        )
        right = (1 - chance) ** 2 * log_chance * (target == 1)
        wrong = (1 - target) ** 4 * chance**2 * log_other * (target < 1)
        if (y[..., CROWD] > 0).any():
            pixels = torch.cat([boxes, y[..., 4:]], dim=2)
            wrong = wrong * ~in_crowds(pixels, grid, centres.shape[1])
        focal = -(right + wrong).sum() / number.clamp_min(1)
        # The target of each position near a centre is the box whose Gaussian is highest there.
        near = (away <= (_CENTRE * sides / 2).clamp_min(self.stride / 2)[..., None, None]).all(dim=2)
        weight, of = (heat * near).max(dim=1)  # (N, H, W)
        rows, down, right_ = torch.nonzero(weight > 0, as_tuple=True)
        if not len(rows):
            return focal + corners.sum() * 0, number
        which = of[rows, down, right_]
        # Normalize weights, so that each box has the same total weight.
        total = weight.new_zeros(there.shape).index_put(
            (rows, which), weight[rows, down, right_], accumulate=True
        )
        share = weight[rows, down, right_] / total[rows, which]
        overlap = _generalized_iou(corners[rows, :, down, right_], boxes[rows, which])
        return focal + self.box_weight * ((1 - overlap) * share).sum() / number.clamp_min(1), number

    def _detected(self, centres: Tensor, corners: Tensor) -> Tensor:
        """Return the detections `(N, D, 6)`: centres that are higher than their eight neighbours."""
        scores = centres.sigmoid()
        scores = scores * (functional.max_pool2d(scores, 3, stride=1, padding=1) == scores)
        places, boxes = (values.flatten(2).transpose(1, 2) for values in (scores, corners))
        size = self.height, self.width
        return chosen_detections(places, boxes, size, self.detections, self.detections, self.nms)


def _generalized_iou(one: Tensor, other: Tensor) -> Tensor:
    """Return the generalized intersection over union of pairs of boxes `(M,)` (Rezatofighi et al., 2019)."""
    sides = (torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])).clamp_min(0)
    hull = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    both = sides.prod(dim=1)
    union = (one[:, 2:] - one[:, :2]).prod(dim=1) + (other[:, 2:] - other[:, :2]).prod(dim=1) - both
    around = hull.prod(dim=1)
    return both / union.clamp_min(1e-6) - (around - union) / around.clamp_min(1e-6)

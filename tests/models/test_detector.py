"""The detectors of torchvision on a timm backbone, and the choice of detections."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from dlcli.models.detections import chosen_detections
from dlcli.models.detector import Detector
from dlcli.models.torchvision_heads import made_head

pytest.importorskip("timm")


@pytest.mark.parametrize("architecture", ["ssdlite", "fcos", "retinanet", "faster_rcnn"])
def test_an_architecture_learns_one_image(architecture: str) -> None:
    torch.manual_seed(0)
    model = Detector((3, 64, 64), 2, architecture, "mobilenetv2_050", weights=None, width=64, detections=20)  # type: ignore[arg-type]
    x = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    x[0, 0, 8:48, 8:48] = 255
    y = torch.full((2, 1, 6), -1.0)
    y[0, 0] = torch.tensor([8 / 64, 8 / 64, 48 / 64, 48 / 64, 1, 0])
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    losses = []
    for _ in range(6):
        outputs = model(x, y=y)
        assert outputs.shape == (2, 2), "in training there are no detections"
        loss = outputs[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    model.eval()
    y[1, 0] = torch.tensor([0, 0, 1, 1, 0, 1])  # a crowd covers the other image
    with torch.no_grad():
        judged, found = model(x, y=y), model(x)
    assert judged.shape == (2, 2 + 20 * 6)
    assert judged[:, :2].isfinite().all()
    if architecture != "faster_rcnn":  # whose loss samples proposals, but not its detections
        torch.testing.assert_close(judged[:, 2:], found.flatten(1))
        # Losses and weights of batches add up to those of their images together, also without a box.
        with torch.no_grad():
            alone = torch.cat([model(x[n : n + 1], y=y[n : n + 1])[:, :2] for n in range(2)])
        torch.testing.assert_close(judged[:, :2].sum(dim=0), alone.sum(dim=0))
    sure = found[found[..., 5] >= 0]
    assert set(sure[:, 5].tolist()) <= {0, 1}
    assert ((sure[:, :4] >= 0) & (sure[:, :4] <= 1)).all()
    assert (found[..., 4].diff(dim=1) <= 0).all()


@pytest.mark.parametrize("architecture", ["ssdlite", "fcos", "retinanet"])
def test_anchors_within_a_crowd_are_not_background_of_its_class(architecture: str) -> None:
    model: Any = made_head(architecture, (8, 8, 8), 2, 64, (64, 64), 10, 0.5)
    label = 1 + int(architecture == "ssdlite")
    logits = torch.zeros(1, 16, 2 + int(architecture == "ssdlite"), requires_grad=True)
    outputs = {
        "cls_logits": logits,
        "bbox_regression": torch.zeros(1, 16, 4),
        "bbox_ctrness": torch.zeros(1, 16, 1),
    }
    matched = torch.full((16,), -1)
    matched[5] = 0
    layers = model if architecture == "ssdlite" else model.head
    sum(layers.compute_loss([target_of(label)], outputs, [squares()], [matched]).values()).backward()
    assert logits.grad is not None
    trained = logits.grad[0].reshape(4, 4, -1) != 0
    assert trained[1, 1, label], "an object in the crowd"
    assert trained[:, :2, label].sum() == 1
    assert trained[:, 2:, label].any()
    assert architecture == "ssdlite" or trained[..., label - 1].all(), "the crowd is of one class"


def test_no_stage_of_faster_rcnn_samples_a_crowd_as_background() -> None:
    model: Any = made_head("faster_rcnn", (8, 8, 8), 2, 64, (64, 64), 10, 0.5)
    target, anchors = target_of(2), squares()
    target["boxes"] = anchors[5:6]
    (labels,), _ = model.rpn.assign_targets_to_anchors([anchors], [target])
    assert labels.reshape(4, 4).tolist() == [[-1, -1, 0, 0], [-1, 1, 0, 0], [-1, -1, 0, 0], [-1, -1, 0, 0]]
    (proposals,), _, (labels,), _ = model.roi_heads.select_training_samples([anchors], [target])
    assert labels.tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0, 2], "the box itself is the last proposal"
    assert (proposals[labels == 0][:, 0] >= 32).all()


def squares() -> Tensor:
    """Return 16 squares that cover 64 x 64 pixels, row by row, `(16, 4)`."""
    top, left = torch.meshgrid(torch.arange(4) * 16.0, torch.arange(4) * 16.0, indexing="ij")
    corner = torch.stack([left, top], dim=2).reshape(-1, 2)
    return torch.cat([corner, corner + 16], dim=1)


def target_of(label: int) -> dict[str, Tensor]:
    """Return a box, and a crowd that covers the left half, of the same label."""
    return {
        "boxes": torch.tensor([[14.0, 14.0, 33.0, 33.0]]),
        "labels": torch.tensor([label]),
        "crowds": torch.tensor([[0.0, 0.0, 39.0, 64.0]]),
        "crowd_labels": torch.tensor([label]),
    }


def test_the_choice_is_that_of_torchvision() -> None:
    random = torch.Generator().manual_seed(0)
    corners = torch.rand(1, 60, 4, generator=random) * 40
    corners[..., 2:] = corners[..., :2] + 10 + torch.rand(1, 60, 2, generator=random) * 20
    corners.clamp_(0, 60)
    scores = torch.rand(1, 60, 2, generator=random)
    found = chosen_detections(scores, corners, (60, 60), most=15, candidates=120, overlap=0.4)[0]
    boxes = corners[0].repeat_interleave(2, dim=0)
    labels = torch.tensor([0, 1]).repeat(60)
    kept = batched_nms(boxes, scores[0].flatten(), labels, 0.4)[:15]
    torch.testing.assert_close(found[:, 4], scores[0].flatten()[kept])
    torch.testing.assert_close(found[:, :4] * 60, boxes[kept])
    assert found[:, 5].tolist() == labels[kept].tolist()

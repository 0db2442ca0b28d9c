"""The detectors of torchvision on a timm backbone, and the choice of detections."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from dlcli.models.detections import chosen_detections
from dlcli.models.detector import Detector

pytest.importorskip("timm")


@pytest.mark.parametrize("architecture", ["ssdlite", "fcos", "retinanet", "faster_rcnn"])
def test_an_architecture_learns_one_image(architecture: str) -> None:
    torch.manual_seed(0)
    model = Detector((3, 64, 64), 2, architecture, "mobilenetv2_050", weights=None, width=64, detections=20)  # type: ignore[arg-type]
    x = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    x[0, 0, 8:48, 8:48] = 255
    y = torch.full((2, 1, 6), -1.0)
    y[0, 0] = torch.tensor([8 / 64, 8 / 64, 48 / 64, 48 / 64, 1, 0])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(6):
        outputs = model(x, y=y)
        assert outputs.shape == (2, 1), "in training there are no detections"
        loss = outputs[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    model.eval()
    with torch.no_grad():
        judged, found = model(x, y=y), model(x)
    assert judged.shape == (2, 1 + 20 * 6)
    assert judged[0, 0].isfinite()
    if architecture != "faster_rcnn":  # whose loss samples proposals, but not its detections
        torch.testing.assert_close(judged[:, 1:], found.flatten(1))
    sure = found[found[..., 5] >= 0]
    assert set(sure[:, 5].tolist()) <= {0, 1}
    assert ((sure[:, :4] >= 0) & (sure[:, :4] <= 1)).all()
    assert (found[..., 4].diff(dim=1) <= 0).all()


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

"""CenterNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dlcli.errors import ConfigError
from dlcli.models.centernet import CenterNet

pytest.importorskip("timm")


def made(**more: object) -> CenterNet:
    torch.manual_seed(0)
    options = {"backbone": "mobilenetv2_050", "weights": None, "width": 16, "detections": 20, **more}
    return CenterNet((3, 48, 80), 2, **options)  # type: ignore[arg-type]


def boxes_of(*boxes: tuple[float, ...]) -> torch.Tensor:
    rows = [
        [left / 80, top / 48, right / 80, bottom / 48, code, 0] for left, top, right, bottom, code in boxes
    ]
    return torch.tensor([rows])


def test_the_maps_that_fit_best_are_decoded_to_the_boxes() -> None:
    model = made(nms=1.0).eval()
    y = boxes_of((4, 4, 28, 30, 0), (40, 10, 76, 40, 1), (50, 2, 62, 10, 0))
    centres = torch.full((1, 2, 8, 12), -4.0, requires_grad=True)
    sides = torch.zeros(1, 4, 8, 12, requires_grad=True)
    optimizer = torch.optim.Adam([centres, sides], lr=0.3)
    for _ in range(150):
        grid = model.grid
        step = sides.exp() * model.stride
        loss, _ = model._loss(centres, torch.cat([grid - step[:, :2], grid + step[:, 2:]], dim=1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        step = sides.exp() * model.stride
        found = model._detected(centres, torch.cat([grid - step[:, :2], grid + step[:, 2:]], dim=1))[0]
    sure = found[found[:, 4] > 0.5]
    assert sorted(sure[:, 5].tolist()) == [0, 0, 1]
    for box in y[0]:
        nearest = (sure[:, :4] - box[:4]).abs().amax(dim=1).argmin()
        assert sure[nearest, 5] == box[4]
        torch.testing.assert_close(sure[nearest, :4], box[:4], atol=0.04, rtol=0)


@torch.no_grad()
def test_padding_does_not_change_the_loss_and_crowds_are_not_background() -> None:
    model = made().eval()
    x = torch.randint(0, 255, (1, 3, 48, 80), dtype=torch.uint8)
    y = boxes_of((4, 4, 28, 30, 0))
    crowd = torch.cat([y, y.clone()], dim=1)
    crowd[0, 1, 5] = 1
    padded = torch.cat([y, torch.full((1, 3, 6), -1.0)], dim=1)
    losses = [float(model(x, y=one)[0, 0]) for one in (y, crowd, padded)]
    assert losses[0] == pytest.approx(losses[2])
    assert losses[1] < losses[0], "the background within the crowd is no longer in the loss"
    centres = torch.zeros(1, 2, 8, 12, requires_grad=True)
    corners = torch.zeros(1, 4, 8, 12)
    crowd = boxes_of((0, 0, 40, 48, 1))
    crowd[..., 5] = 1
    with torch.enable_grad():
        model._loss(centres, corners, crowd)[0].backward()
    assert centres.grad is not None
    assert (centres.grad[0, 1, :6, :5] == 0).all(), "no place in a crowd is trained for its class"
    assert (centres.grad[0, 1, :, 6:] != 0).all()
    assert (centres.grad[0, 0] != 0).all(), "the other class is"
    torch.testing.assert_close(model(x)[0], model(x, y=y)[0, 2:].reshape(20, 6))
    assert float(model(x, y=torch.full((1, 0, 6), -1.0))[0, 0]) > 0, "an image without boxes has a loss"
    assert model.train()(x, y=y).shape == (1, 2)


@torch.no_grad()
def test_losses_of_batches_add_up_to_that_of_their_images() -> None:
    """A batch of 0, 2 and 1 boxes has the losses and the boxes of the batches of its images."""
    model, absent = made().eval(), torch.full((1, 2, 6), -1.0)
    x = torch.randint(0, 255, (3, 3, 48, 80), dtype=torch.uint8)
    y = absent.repeat(3, 1, 1)
    y[1:, :1], y[1, 1:] = boxes_of((4, 4, 28, 30, 0)), boxes_of((40, 10, 76, 40, 1))
    alone = torch.cat([model(x[n : n + 1], y=y[n : n + 1])[:, :2] for n in range(3)])
    assert alone[:, 1].tolist() == [0, 2, 1]
    torch.testing.assert_close(model(x, y=y)[:, :2].sum(dim=0), alone.sum(dim=0))


def test_the_less_confident_one_of_overlapping_detections_is_removed() -> None:
    model = made(nms=0.5).eval()
    centres = torch.full((1, 2, 8, 12), -9.0)
    centres[0, 0, 2, 2], centres[0, 0, 2, 4], centres[0, 1, 2, 6] = 3.0, 2.0, 1.0
    box = torch.tensor([4.0, 4.0, 44.0, 40.0]).reshape(1, 4, 1, 1).expand(1, 4, 8, 12)
    found = model._detected(centres, box)[0]
    sure = found[found[:, 4] > 0.1]
    assert sure[:, 5].tolist() == [0, 1], "detections of another class stay"
    torch.testing.assert_close(sure[:, 4], torch.tensor([3.0, 1.0]).sigmoid())


def test_weights_of_a_run_with_another_scale_of_pixels_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    state = made(mean=(0.1, 0.2, 0.3)).state_dict()
    save_file({name: values.contiguous() for name, values in state.items()}, file)
    with pytest.raises(ConfigError, match="trained with another pixel mean") as refused:
        made(weights=str(file))
    assert "model.mean=[0.1,0.2,0.3]" in refused.value.problems[0].hint
    again = made(weights=str(file), mean=(0.1, 0.2, 0.3))
    assert again.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])

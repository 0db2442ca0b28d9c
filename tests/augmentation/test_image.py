from __future__ import annotations

import pytest
import torch

from dlcli.augmentation.image import ImageAugmentation, mixup

ROWS = 64


@pytest.fixture(params=[torch.uint8, torch.float32], ids=str)
def batch(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randint(1, 256, (ROWS, 3, 8, 12)).to(request.param)
    return {"x": x, "y": torch.arange(ROWS)}


def test_without_options_nothing_changes(batch) -> None:
    changed = ImageAugmentation()(batch)
    assert changed.keys() == batch.keys()
    assert torch.equal(changed["x"], batch["x"])


def test_some_images_are_mirrored(batch) -> None:
    x = ImageAugmentation(flip=0.5)(batch)["x"]
    mirrored = (x == batch["x"].flip(-1)).flatten(1).all(dim=1)
    same = (x == batch["x"]).flatten(1).all(dim=1)
    assert (mirrored | same).all()
    assert 16 < int(mirrored.sum()) < 48
    assert x.dtype == batch["x"].dtype


def test_images_are_shifted_independently_with_black_borders(batch) -> None:
    x = ImageAugmentation(crop=0.25)(batch)["x"]
    shifts = set()
    for before, after in zip(batch["x"], x, strict=True):
        black = (after == 0).all(dim=0)
        lines, columns = int(black.all(dim=1).sum()), int(black.all(dim=0).sum())
        shifts.add((lines, columns))
        assert int(black.sum()) == 8 * 12 - (8 - lines) * (12 - columns)
        kept = after[:, ~black]
        assert torch.isin(kept, before).all()
    assert max(lines for lines, _ in shifts) == 2
    assert max(columns for _, columns in shifts) == 3
    assert len(shifts) > 6


def test_a_rotation_keeps_the_shape_of_the_content() -> None:
    """A rotation of a wide image keeps the shape of its content: a cross stays a cross."""
    x = torch.zeros(200, 1, 9, 15)
    x[:, :, 4, 4:11] = 1
    torch.manual_seed(0)
    turned = ImageAugmentation(rotation=180)({"x": x, "y": torch.zeros(200)})["x"]
    upright = turned[:, 0, 1:8, 7].amin(dim=1)
    assert upright.max() > 0.8
    assert turned[upright.argmax(), 0].sum() == pytest.approx(7, abs=1)


def test_a_rotation_keeps_the_range_and_the_middle(batch) -> None:
    x = ImageAugmentation(rotation=10)(batch)["x"]
    assert x.shape == batch["x"].shape
    assert x.min() >= 0
    assert x.max() <= 255
    assert not torch.equal(x, batch["x"].float())


def test_a_square_is_cut_out(batch) -> None:
    x = ImageAugmentation(cutout=0.5)(batch)["x"]
    blank = (x == 0).all(dim=1)
    assert int(blank.flatten(1).sum(dim=1).max()) == 4 * 6
    assert (
        int(blank.flatten(1).sum(dim=1).min()) >= 2 * 3
    )  # at a corner only the part inside the image remains
    assert torch.equal(x[~blank.unsqueeze(1).expand_as(x)], batch["x"][~blank.unsqueeze(1).expand_as(x)])


def test_mixup_mixes_images_and_returns_the_share(batch) -> None:
    shares = [float(mixup(batch, alpha=1.0)["share"]) for _ in range(30)]
    assert min(shares) < 0.1 < 0.4 < max(shares) <= 0.5, "what is seen most is the row's own"
    mixed = mixup(batch, alpha=1.0)
    share, other = mixed["share"], mixed["y_mixed"]
    assert sorted(other.tolist()) == batch["y"].tolist()
    x = batch["x"].float()
    assert torch.allclose(mixed["x"], x + share * (x[other] - x), atol=1e-3)


def test_the_seed_decides(batch) -> None:
    augment = ImageAugmentation(0.5, 10, 0.25, 0.25, 0.2)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(augment(batch)["x"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_augmentation_runs_on_the_device_of_the_batch() -> None:
    # The meta device computes nothing, but rejects tensors of another device as a GPU does.
    batch = {
        "x": torch.zeros(4, 3, 8, 8, dtype=torch.uint8, device="meta"),
        "y": torch.zeros(4, device="meta"),
    }
    changed = ImageAugmentation(0.5, 10, 0.25, 0.25, 0.2)(batch)
    assert {value.device.type for value in changed.values()} == {"meta"}


@pytest.mark.parametrize(
    "options",
    [{"flip": 0.5}, {"flip_vertical": 0.5}, {"zoom": 0.4}, {"crop": 0.3}, {"rotation": 20.0}],
    ids=lambda options: next(iter(options)),
)
def test_boxes_are_moved_with_their_images(options: dict[str, float]) -> None:
    torch.manual_seed(0)
    x = torch.zeros(8, 3, 60, 80, dtype=torch.uint8)
    x[:, :, 20:35, 30:55] = 255
    y = torch.full((8, 2, 6), -1.0)
    y[:, 0] = torch.tensor([30 / 80, 20 / 60, 55 / 80, 35 / 60, 1, 0])
    changed = ImageAugmentation(**options)({"x": x, "y": y})
    assert not torch.equal(changed["y"], y)
    for image, boxes in zip(changed["x"], changed["y"], strict=True):
        rows, columns = torch.nonzero(image[0] > 127, as_tuple=True)
        seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        torch.testing.assert_close(boxes[0, :4] * torch.tensor([80, 60, 80, 60]), seen, atol=0.8, rtol=0)
        assert boxes[:, 4].tolist() == [1, -1]


def test_boxes_that_leave_their_image_are_dropped() -> None:
    torch.manual_seed(0)
    y = torch.tensor([[[0.0, 0.2, 0.05, 0.3, 2.0, 0.0]]]).repeat(20, 1, 1)
    moved = ImageAugmentation(crop=0.3)({"x": torch.zeros(20, 1, 50, 50), "y": y})["y"]
    gone = moved[:, 0, 4] < 0
    assert 0 < int(gone.sum()) < 20
    assert (moved[~gone][..., :4].clamp(0, 1) == moved[~gone][..., :4]).all()


def test_colours_change_within_their_range() -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    changed = ImageAugmentation(colour=0.5)({"x": x})["x"]
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, x)

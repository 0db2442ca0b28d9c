from __future__ import annotations

import pytest
import torch

from dlcli.augmentation.image import ImageAugmentation
from dlcli.augmentation.mixup import mixup

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

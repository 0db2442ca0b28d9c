"""The boundary F score, crops and tiles of segmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from dlcli.datasets.masks.class_maps import IGNORED
from dlcli.tasks.mask_boundaries import BoundaryF, boundary_counts, boundary_f
from dlcli.tasks.metric_choice import shipped_metric
from dlcli.tasks.pixel_losses import PixelCrossEntropy
from dlcli.tasks.segmentation import Segmentation
from dlcli.tasks.tiles import random_crops, stitched, tile_starts
from dlcli.training.scores import Scores


def maps(rows: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return smooth maps of three classes, predicted and true, some of whose true pixels are unknown."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.rand(rows, 6, 17, 23, generator=draw)
    smooth = torch.nn.functional.avg_pool2d(noise, 5, 1, 2)
    predicted, y = smooth[:, :3].argmax(dim=1), smooth[:, 3:].argmax(dim=1).to(torch.uint8)
    y[:, :2, 3:9] = IGNORED
    return predicted, y


def slow(codes: np.ndarray, known: np.ndarray, number: int) -> np.ndarray:
    """Return the boundary pixels of a class, from its definition."""
    found = np.zeros(codes.shape, bool)
    for (row, column), code in np.ndenumerate(codes):
        if code != number or not known[row, column]:
            continue
        for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= other[0] < codes.shape[0] and 0 <= other[1] < codes.shape[1]
            found[row, column] |= bool(inside and known[other] and codes[other] != code)
    return found


@pytest.mark.parametrize("tolerance", [0.0075, 0.11])
def test_counts_are_those_of_distances(tolerance: float) -> None:
    predicted, y = maps()
    found = boundary_counts(predicted, y, 3, tolerance)
    radius = max(1, round(tolerance * float(np.hypot(17, 23))))
    for row in range(3):
        known = y[row].numpy() != IGNORED
        for number in range(3):
            made = slow(predicted[row].numpy(), known, number)
            given = slow(y[row].numpy(), known, number)
            near = [
                distance_transform_edt(~pixels) <= radius if pixels.any() else np.zeros_like(pixels)
                for pixels in (given, made)
            ]
            expected = [made.sum(), (made & near[0]).sum(), given.sum(), (given & near[1]).sum()]
            assert found[row, :, number].tolist() == expected


def test_equal_maps_have_a_score_of_one_and_far_ones_of_none() -> None:
    _, y = maps()
    same = boundary_counts(torch.where(y == IGNORED, 0, y.long()), y, 4, 0.0075)
    metric = BoundaryF(4)
    metric.update(torch.cat([torch.zeros(3, 3, 4), same], dim=1), torch.empty(3, 0))
    assert float(metric.compute()) == 1
    assert boundary_f(same.sum(dim=0))[3].isnan()
    halves = torch.zeros(1, 20, 20, dtype=torch.uint8)
    halves[:, :3] = 1
    turned = halves.flip(1).long()
    assert boundary_f(boundary_counts(turned, halves, 2, 0.0075)[0]).tolist() == [0, 0]


def test_the_task_keeps_and_restores_boundaries_if_they_are_asked_for() -> None:
    task = Segmentation(
        ["a", "b", "c"],
        [5, 3, 2],
        PixelCrossEntropy(["a", "b", "c"], [5, 3, 2]),
        ["default", shipped_metric("boundary_f")],
    )
    predicted, y = maps()
    logits = torch.nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2).float()
    scores = Scores(task)
    scores.update(logits, y)
    kept, empty = task.kept(logits, y)
    expected = boundary_f(boundary_counts(predicted, y, 3, 0.0075).sum(dim=0)).mean()
    assert scores.compute()["boundary_f"] == pytest.approx(float(expected))
    restored = task.metric_inputs_of(task.judged(kept, y))
    assert restored is not None
    torch.testing.assert_close(restored[0], task.metric_inputs(kept, empty)[0].double())
    assert task.breakdown(kept, y)["boundary_f"].mean() == pytest.approx(float(expected))
    (_, (_, constant)), *_ = task.baselines(None, kept).items()
    prior = torch.tensor([1.0, 0, 0])[None, :, None, None].expand(3, 3, 17, 23)
    torch.testing.assert_close(constant[:, 1:], task.kept(prior, y)[0][:, 1:])


def test_tiles_cover_every_pixel_and_overlap() -> None:
    assert tile_starts(20, 32, 0.25) == [0]
    for size, side, overlap in ((100, 32, 0.25), (33, 32, 0.5), (97, 16, 0.0)):
        starts = tile_starts(size, side, overlap)
        assert starts[0] == 0 and starts[-1] == size - side
        assert max(np.diff(starts)) <= side * (1 - overlap) + 1


def test_outputs_of_single_pixels_are_stitched_without_a_change() -> None:
    x = torch.randn(2, 3, 37, 50)
    whole = stitched(lambda batch: 2 * batch["x"], {"x": x}, 16, 0.3)
    torch.testing.assert_close(whole, 2 * x)


def test_crops_keep_images_and_masks_together() -> None:
    torch.manual_seed(0)
    x = torch.arange(4 * 20 * 30).view(4, 1, 20, 30)
    batch = random_crops({"x": x, "y": x[:, 0], "other": torch.ones(4)}, 16)
    assert batch["x"].shape == (4, 1, 16, 16) and batch["other"].shape == (4,)
    assert torch.equal(batch["x"][:, 0], batch["y"])
    assert len({int(row[0, 0]) % 600 for row in batch["y"]}) > 1
    assert random_crops({"x": x, "y": x[:, 0]}, 25)["x"].shape == (4, 1, 20, 25)

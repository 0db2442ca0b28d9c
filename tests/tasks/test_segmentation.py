"""Segmentation: losses, the stored outputs of a batch, metrics, baselines, and augmentation of images with masks."""

from __future__ import annotations

from typing import Any, ClassVar
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.augmentation.image import ImageAugmentation
from dlcli.datasets.masks.class_maps import IGNORED
from dlcli.models.unet import UNet
from dlcli.tasks.pixel_losses import UNKNOWN, Dice, PixelCrossEntropy, PixelFocal, PixelLoss
from dlcli.tasks.segmentation import Segmentation
from dlcli.training.scores import Scores

CLASSES, COUNTS = ("sky", "road", "car"), (50, 30, 20)


def batch(rows: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (rows, 4, 6), generator=generator).byte()
    y[:, 0, :2] = IGNORED
    return torch.randn(rows, 3, 4, 6, generator=generator), y


def task_of(loss: type[PixelLoss] = PixelCrossEntropy, **settings: Any) -> Segmentation:
    return Segmentation(CLASSES, COUNTS, loss(CLASSES, COUNTS, **settings))


def test_the_cross_entropy_is_the_mean_over_rows_of_their_pixels() -> None:
    logits, y = batch()
    y[3, 2:] = IGNORED
    codes = y.long().masked_fill(y == IGNORED, UNKNOWN)
    of_rows = [functional.cross_entropy(logits[row : row + 1], codes[row : row + 1]) for row in range(5)]
    torch.testing.assert_close(task_of().loss(logits, y), torch.stack(of_rows).mean())
    focal = task_of(PixelFocal, gamma=0.0).loss(logits, y)
    torch.testing.assert_close(focal, torch.stack(of_rows).mean())
    y[:] = IGNORED
    assert float(task_of().loss(logits, y)) == 0


def test_the_dice_loss_is_that_computed_by_hand() -> None:
    y = torch.tensor([[[0, 0], [1, IGNORED]]]).byte()
    chances = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1.0]])
    logits = chances.clamp_min(1e-30).log().T.reshape(1, 3, 2, 2)
    sky, road = 2 * 1.5 / (1.75 + 2), 2 * 0.5 / (0.75 + 1)
    torch.testing.assert_close(task_of(Dice).loss(logits, y), torch.tensor(1 - (sky + road) / 2))
    half = 0.5 * float(task_of(Dice).loss(logits, y)) + 0.5 * float(task_of().loss(logits, y))
    assert float(task_of(Dice, cross_entropy=0.5).loss(logits, y)) == pytest.approx(half)


def test_class_weights_weigh_pixels() -> None:
    logits, y = batch()
    weighted = task_of(class_weights={"car": 0.0}).loss(logits, y)
    without = functional.cross_entropy(logits, y.long().clamp_max(2), reduction="none") * (y < 2)
    known = (y != IGNORED).sum(dim=(1, 2))
    torch.testing.assert_close(weighted, (without.sum(dim=(1, 2)) / known).mean())


@pytest.mark.parametrize("loss", [PixelCrossEntropy, PixelFocal, Dice])
def test_stored_outputs_give_metrics_and_loss_of_all_rows(loss: type[PixelLoss]) -> None:
    task, scores = task_of(loss), Scores(task_of(loss))
    logits, y = batch(7)
    for rows in (slice(0, 3), slice(3, 7)):
        scores.update(logits[rows], y[rows])
    found = scores.compute()
    guess, known = logits.argmax(dim=1), y != IGNORED
    iou, dice, recall = [], [], []
    for code in range(3):
        there, predicted = (y == code) & known, (guess == code) & known
        both = float((there & predicted).sum())
        iou.append(both / float((there | predicted).sum()))
        dice.append(2 * both / float(there.sum() + predicted.sum()))
        recall.append(both / float(there.sum()))
    assert found["miou"] == pytest.approx(np.mean(iou))
    assert found["dice"] == pytest.approx(np.mean(dice))
    assert found["class_accuracy"] == pytest.approx(np.mean(recall))
    assert found["pixel_accuracy"] == pytest.approx(float((guess == y)[known].float().mean()))
    assert found["loss"] == pytest.approx(float(task.loss(logits, y)), rel=1e-5)
    kept, empty = task.kept(logits, y)
    assert kept.shape == (7, 1 + 9)  # whatever the size of the images is
    assert empty.shape == (7, 0)
    assert task.breakdown(kept, y)["iou"].to_numpy() == pytest.approx(iou)


@pytest.mark.parametrize("members", [1, 2])
def test_a_training_step_keeps_what_an_evaluation_keeps(members: int) -> None:
    (logits, y), task = batch(), task_of(Dice, cross_entropy=0.5)
    outputs = logits if members == 1 else torch.stack([logits - 1, logits + 1], dim=1)
    network: Any = MagicMock(return_value=outputs)
    network.loss.return_value = task.loss(logits, y)
    _, kept = task.step(network, {"y": y})
    kept = kept if members == 1 else kept.mean(dim=1)  # as `Network.combined`
    assert torch.equal(task.kept(kept, y)[0], task.kept(logits, y)[0])


def test_metrics_can_be_restored_from_the_table_of_judged_rows() -> None:
    task = task_of()
    logits, y = batch(6)
    kept, empty = task.kept(logits, y)
    table = task.judged(kept, y)
    restored = task.metric_inputs_of(table)
    assert restored is not None
    torch.testing.assert_close(restored[0], task.metric_inputs(kept, empty)[0].double())
    assert table["pixels(road)"].tolist() == (y == 1).sum(dim=(1, 2)).tolist()
    worst = [row for row, _ in task.worst(kept, y)]
    assert table["iou"].to_numpy()[worst].tolist() == sorted(table["iou"])


@pytest.mark.parametrize("loss", [PixelCrossEntropy, PixelFocal, Dice])
def test_the_baseline_is_that_of_constant_outputs(loss: type[PixelLoss]) -> None:
    task = task_of(loss)
    logits, y = batch(6)
    prior = torch.tensor([0.5, 0.3, 0.2]).log()[None, :, None, None].expand(6, 3, 4, 6)
    (name, (judge, found)), *more = task.baselines(None, task.kept(logits, y)[0]).items()
    assert (name, more) == ("", [])
    assert judge is task
    torch.testing.assert_close(found, task.kept(prior, y)[0])


class OwnLoss(nn.Module):
    accepts: ClassVar = {"segmentation"}

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(logits, y)


def test_a_loss_of_the_users_own_needs_no_numbers_of_pixels() -> None:
    task = Segmentation(CLASSES, COUNTS, OwnLoss())
    logits, y = batch()
    (found,) = (guess for _, guess in task.baselines(None, task.kept(logits, y)[0]).values())
    assert found[:, 0].isnan().all()
    assert float(task.kept_loss(*task.kept(logits, y))) == pytest.approx(float(task.loss(logits, y)))


@pytest.mark.parametrize(
    "settings", [{"flip": 0.5}, {"crop": 0.25}, {"rotation": 90.0}, {"flip": 0.5, "crop": 0.3}]
)
def test_masks_move_with_their_images(settings: dict[str, float]) -> None:
    torch.manual_seed(0)
    x = torch.randint(1, 4, (16, 1, 12, 12)).repeat_interleave(2, 2).repeat_interleave(2, 3).byte()
    moved = ImageAugmentation(**settings)({"x": x, "y": x[:, 0] - 1})
    there = moved["y"] != IGNORED
    assert moved["y"].dtype == torch.uint8
    assert 0.3 < there.float().mean() < 1.01
    assert not torch.equal(moved["x"].byte(), x)
    agrees = (moved["x"][:, 0].round() == moved["y"] + 1) | ~there
    assert agrees.float().mean() > (
        0.6 if "rotation" in settings else 0.999
    )  # interpolation mixes neighbours
    if "rotation" not in settings:
        assert torch.equal(moved["x"][:, 0] == 0, ~there)  # outside of the image


def test_images_without_masks_are_augmented_to_the_same_bits() -> None:
    x = torch.randint(0, 256, (8, 3, 9, 9)).byte()
    augment = ImageAugmentation(flip=0.5, crop=0.2, rotation=10)
    found = []
    for y in (torch.arange(8), x[:, 0] % 3):
        torch.manual_seed(1)
        found.append(augment({"x": x, "y": y}))
    assert torch.equal(found[0]["x"], found[1]["x"])
    assert torch.equal(found[0]["y"], torch.arange(8))


@pytest.mark.parametrize("stem", [1, 2, 4])
def test_the_unet_returns_the_size_of_its_images(stem: Any) -> None:
    for upsampling in ("bilinear", "transposed"):
        model = UNet((3, 21, 30), 5, channels=(4, 8, 8), stem=stem, upsampling=upsampling).eval()
        assert model(torch.randn(2, 3, 21, 30)).shape == (2, 5, 21, 30)
    assert UNet((1, 9, 9), 2, channels=(4,), normalization="none")(torch.randn(1, 1, 9, 9)).shape == (
        1,
        2,
        9,
        9,
    )

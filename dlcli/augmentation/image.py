"""Augmentation of images, vectorized over the batch; each image is transformed independently."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from dlcli.augmentation.mixup import mixup
from dlcli.datasets.masks.class_maps import IGNORED

Share = Annotated[float, Ge(0), Le(1)]


class ImageAugmentation:
    """Flips, rotates, shifts, cuts out and mixes images `(N, C, H, W)`, in this order; empty areas are black.

    Masks, targets `(N, H, W)` of class codes, are transformed like their images; empty areas have no class. A cutout
    does not change the mask.

    Args:
        flip: probability that an image is mirrored horizontally.
        rotation: maximum rotation in degrees, in either direction.
        crop: maximum shift as a share of the image's side, in either direction, in whole pixels (the "random crop" of a
            padded image).
        cutout: side of a square that is set to 0, as a share of the image's side (DeVries and Taylor, 2017); its centre
            is anywhere in the image.
        mixup: alpha of mixup's Beta distribution; 0 disables mixup.
    """

    accepts: ClassVar = {"image"}

    def __init__(
        self,
        flip: Share = 0.0,
        rotation: Annotated[float, Ge(0), Le(180)] = 0.0,
        crop: Share = 0.0,
        cutout: Share = 0.0,
        mixup: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        self.flip = flip
        self.rotation = rotation
        self.crop = crop
        self.cutout = cutout
        self.mixup = mixup

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return an augmented batch with the same number of rows."""
        x, y = batch["x"], batch.get("y")
        masks = None if y is None or y.ndim != 3 or y.dtype != torch.uint8 else y
        if self.flip:
            x, masks = _flip(x, masks, self.flip)
        if self.rotation:
            x, masks = _rotate(x, masks, self.rotation)
        if self.crop:
            x, masks = _shift(x, masks, self.crop)
        if self.cutout:
            x = _cut_out(x, self.cutout)
        changed = {**batch, "x": x} if masks is None else {**batch, "x": x, "y": masks}
        return mixup(changed, self.mixup) if self.mixup else changed


def _flip(x: Tensor, masks: Tensor | None, chance: float) -> tuple[Tensor, Tensor | None]:
    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < chance
    flipped = torch.where(chosen, x.flip(-1), x)
    return flipped, None if masks is None else torch.where(chosen[:, 0], masks.flip(-1), masks)


def _rotate(x: Tensor, masks: Tensor | None, degrees: float) -> tuple[Tensor, Tensor | None]:
    """Rotate images with bilinear interpolation, masks with nearest; bytes become floats in the same range."""
    rows, _, height, width = x.shape
    angle = (torch.rand(rows, device=x.device) * 2 - 1) * math.radians(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Coordinates run from -1 to 1 along either side, so the aspect ratio enters the matrix.
    theta = torch.stack(
        [
            torch.stack([cos, -sin * (height / width), zero], dim=1),
            torch.stack([sin * (width / height), cos, zero], dim=1),
        ],
        dim=1,
    )
    values = x if x.is_floating_point() else x.float()
    grid = nn.functional.affine_grid(theta.to(values.dtype), list(x.shape), align_corners=False)
    turned = nn.functional.grid_sample(values, grid, align_corners=False)
    if masks is None:
        return turned, None
    # Codes are shifted by one, so that pixels outside the image, which are 0, become pixels without a class.
    codes = torch.where(masks == IGNORED, 0, masks.to(grid.dtype) + 1)[:, None]
    moved = nn.functional.grid_sample(codes, grid, mode="nearest", align_corners=False)[:, 0]
    return turned, torch.where(moved == 0, IGNORED, moved - 1).to(masks.dtype)


def _shift(x: Tensor, masks: Tensor | None, share: float) -> tuple[Tensor, Tensor | None]:
    rows, _, height, width = x.shape
    down, right = round(share * height), round(share * width)
    top = torch.randint(0, 2 * down + 1, (rows, 1, 1, 1), device=x.device)
    left = torch.randint(0, 2 * right + 1, (rows, 1, 1, 1), device=x.device)
    lines = top + torch.arange(height, device=x.device).view(1, 1, -1, 1)
    columns = left + torch.arange(width, device=x.device).view(1, 1, 1, -1)

    def moved(values: Tensor, outside: int) -> Tensor:
        # Two gathers along one side each are faster on a CPU than indexing single pixels.
        padded = nn.functional.pad(values, (right, right, down, down), value=outside)
        kinds = values.shape[1]
        vertical = padded.gather(2, lines.expand(-1, kinds, -1, padded.shape[3]))
        return vertical.gather(3, columns.expand(-1, kinds, height, -1))

    return moved(x, 0), None if masks is None else moved(masks[:, None], IGNORED)[:, 0]


def _cut_out(x: Tensor, share: float) -> Tensor:
    rows, _, height, width = x.shape
    hidden = []
    for size in (height, width):
        side = round(share * size)
        first = torch.randint(0, size, (rows, 1), device=x.device) - side // 2
        place = torch.arange(size, device=x.device)
        hidden.append((place >= first) & (place < first + side))
    return x.masked_fill((hidden[0][:, :, None] & hidden[1][:, None, :])[:, None], 0)

"""Augmentation of images, vectorized over the batch; each image is transformed independently."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn

from dlcli.datasets.boxes.boxes import CODE, PADDING
from dlcli.datasets.masks.class_maps import IGNORED
from dlcli.formatting import counted

Share = Annotated[float, Ge(0), Le(1)]

# Shifts with `auto`; images with a smaller side are not shifted, of which a pixel is a large share.
_SHIFT, _SHIFT_OF_GREY, _SMALL = 0.125, 0.04, 16
# Fewest epochs, and fewest images in all of them, for changed photographs: see docs/examples-and-measurements.md.
_EPOCHS, _SEEN = 20, 15_000
# About as many images decide whether there are colours.
_SAMPLED = 64

# Images, masks if there are any, and the affine map of each image's coordinates, `(N, 2, 3)`.
_Moved: TypeAlias = tuple[Tensor, Tensor | None, Tensor]
_Move: TypeAlias = Callable[[Tensor, Tensor | None], _Moved]


class ImageAugmentation:
    """Flips, rotates, zooms, shifts, recolours, cuts out and mixes images `(N, C, H, W)`, in this order.

    Areas without image are black. Masks, targets `(N, H, W)` of codes, and padded boxes `(N, T, 6)` are transformed
    with their images. Areas without image have no class. A transformed box is the bounding box of the result, clipped
    to the image; boxes of which less than a quarter remains are dropped. Cut-out areas keep their classes and boxes.

    Args:
        flip: probability that an image is mirrored horizontally; `auto` follows from the images, see `automatic_for`.
        flip_vertical: probability that an image is mirrored vertically.
        rotation: maximum rotation in degrees, in either direction.
        zoom: maximum change of an image's scale: the factor is between 1 - zoom and 1 / (1 - zoom), around its centre.
        crop: maximum shift as a share of the image's side, in either direction, in whole pixels (the "random crop" of a
            padded image); `auto` as for `flip`.
        colour: maximum change of brightness, contrast and saturation, as a share of each, in either direction.
        cutout: side of a square that is set to 0, as a share of the image's side (DeVries and Taylor, 2017); its centre
            is anywhere in the image.
        mixup: alpha of mixup's Beta distribution; 0 disables mixup.
    """

    accepts: ClassVar = {"image"}

    def __init__(
        self,
        flip: Share | Literal["auto"] = 0.0,
        rotation: Annotated[float, Ge(0), Le(180)] = 0.0,
        crop: Share | Literal["auto"] = 0.0,
        cutout: Share = 0.0,
        mixup: Annotated[float, Ge(0)] = 0.0,
        flip_vertical: Share = 0.0,
        zoom: Annotated[float, Ge(0), Lt(1)] = 0.0,
        colour: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        # `auto` is settled before training; a configuration with mistakes is checked without.
        self.flip = 0.0 if flip == "auto" else flip
        self.rotation = rotation
        self.crop = 0.0 if crop == "auto" else crop
        self.cutout = cutout
        self.mixup = mixup
        self.flip_vertical = flip_vertical
        self.zoom = zoom
        self.colour = colour

    @staticmethod
    def automatic_for(x: Any) -> dict[str, tuple[Any, str]]:
        """Return the values of `auto` for raw images `(N, H, W)` or `(N, H, W, C)`, with the reasons.

        A mirrored photograph shows the same thing, a mirrored digit or letter does not. The shifts are those usual for
        photographs of 32 pixels (4 of them), and one pixel for digits of 28. Images with equal channels are grey.
        """
        height, width = x.shape[1:3]
        is_colour = _has_colours(x)
        reason = f"for {'colour' if is_colour else 'grey'} images of {height:,} x {width:,} pixels"
        shift = 0.0 if min(height, width) < _SMALL else _SHIFT if is_colour else _SHIFT_OF_GREY
        return {"flip": (0.5 if is_colour else 0.0, reason), "crop": (shift, reason)}

    @staticmethod
    def too_short(some: Any, rows: int, epochs: int) -> str:
        """Return why a network that starts from random weights does not gain by changed images; "" if it does.

        Photographs take 20 epochs and 15,000 images in all of them; digits that are shifted by a pixel help from the
        first on.

        Args:
            some: some of the raw images `(N, H, W)` or `(N, H, W, C)`.
            rows: number of training rows.
            epochs: maximum number of epochs.
        """
        if (epochs >= _EPOCHS and epochs * rows >= _SEEN) or not _has_colours(some):
            return ""
        return f"for {counted(epochs, 'epoch')} of {rows:,} training rows, too few for changed images"

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return an augmented batch with the same number of rows."""
        x, y = batch["x"], batch.get("y")
        masks = None if y is None or y.ndim != 3 or y.dtype != torch.uint8 else y
        boxes = None if y is None or y.ndim != 3 or not y.is_floating_point() else y
        steps: list[tuple[float, _Move]] = [
            (self.flip, partial(_flip, axis=-1, chance=self.flip)),
            (self.flip_vertical, partial(_flip, axis=-2, chance=self.flip_vertical)),
            (self.rotation, partial(_rotate, degrees=self.rotation)),
            (self.zoom, partial(_zoom, most=self.zoom)),
            (self.crop, partial(_shift, share=self.crop)),
        ]
        for amount, move in steps:
            if amount:
                x, masks, matrix = move(x, masks)
                boxes = None if boxes is None else moved_boxes(boxes, matrix)
        if self.colour:
            x = _recolour(x, self.colour)
        if self.cutout:
            x = _cut_out(x, self.cutout)
        moved = masks if masks is not None else boxes
        changed = {**batch, "x": x} if moved is None else {**batch, "x": x, "y": moved}
        return mixup(changed, self.mixup) if self.mixup else changed


def _has_colours(x: Any) -> bool:
    """Return whether raw images `(N, H, W)` or `(N, H, W, C)` have channels that differ."""
    some = x[:: max(1, len(x) // _SAMPLED)] if len(x.shape) == 4 and x.shape[3] >= 3 else None
    return some is not None and bool(np.ptp(np.asarray(some)[..., :3], axis=3).any())


def _flip(x: Tensor, masks: Tensor | None, axis: int, chance: float) -> _Moved:
    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < chance
    flipped = torch.where(chosen, x.flip(axis), x)
    sign = torch.where(chosen[:, 0, 0, 0], -1.0, 1.0)
    still = torch.ones_like(sign)
    matrix = moving(sign, still) if axis == -1 else moving(still, sign)
    return flipped, None if masks is None else torch.where(chosen[:, 0], masks.flip(axis), masks), matrix


def _rotate(x: Tensor, masks: Tensor | None, degrees: float) -> _Moved:
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
    # The grid leads from a place of the result to the one in the image; boxes go the other way.
    back = torch.stack(
        [torch.stack([cos, sin * (height / width)], 1), torch.stack([-sin * (width / height), cos], 1)], 1
    )
    return *_sampled(x, masks, theta), torch.cat([back, theta[..., 2:]], dim=2)


def _zoom(x: Tensor, masks: Tensor | None, most: float) -> _Moved:
    """Scale around the centre, with the interpolation of `_rotate`."""
    factor = ((torch.rand(len(x), device=x.device) * 2 - 1) * -math.log(1 - most)).exp()
    return *_sampled(x, masks, moving(1 / factor, 1 / factor)), moving(factor, factor)


def _sampled(x: Tensor, masks: Tensor | None, theta: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return images and masks at the places that `theta` `(N, 2, 3)` leads to from those of the result."""
    values = x if x.is_floating_point() else x.float()
    grid = nn.functional.affine_grid(theta.to(values.dtype), list(x.shape), align_corners=False)
    turned = nn.functional.grid_sample(values, grid, align_corners=False)
    if masks is None:
        return turned, None
    # Codes are shifted by one, so that pixels outside the image, which are 0, become pixels without a class.
    codes = torch.where(masks == IGNORED, 0, masks.to(grid.dtype) + 1)[:, None]
    moved = nn.functional.grid_sample(codes, grid, mode="nearest", align_corners=False)[:, 0]
    return turned, torch.where(moved == 0, IGNORED, moved - 1).to(masks.dtype)


def _recolour(x: Tensor, most: float) -> Tensor:
    """Change brightness, contrast and saturation; values stay within 0 and 255, and bytes stay bytes."""
    factors = 1 + (torch.rand(3, len(x), 1, 1, 1, device=x.device) * 2 - 1) * most
    values = x.float() * factors[0]
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    values = mean + (values - mean) * factors[1]
    grey = values.mean(dim=1, keepdim=True)
    values = (grey + (values - grey) * factors[2]).clamp(0, 255)
    return values if x.is_floating_point() else values.round().to(x.dtype)


def _shift(x: Tensor, masks: Tensor | None, share: float) -> _Moved:
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

    still = torch.ones(rows, device=x.device)
    # A place of the image at (left, top) of the padded one; coordinates run from -1 to 1.
    away = [
        2 * (most - first.flatten()) / side
        for most, first, side in ((right, left, width), (down, top, height))
    ]
    return (
        moved(x, 0),
        None if masks is None else moved(masks[:, None], IGNORED)[:, 0],
        moving(still, still, *away),
    )


def _cut_out(x: Tensor, share: float) -> Tensor:
    rows, _, height, width = x.shape
    hidden = []
    for size in (height, width):
        side = round(share * size)
        first = torch.randint(0, size, (rows, 1), device=x.device) - side // 2
        place = torch.arange(size, device=x.device)
        hidden.append((place >= first) & (place < first + side))
    return x.masked_fill((hidden[0][:, :, None] & hidden[1][:, None, :])[:, None], 0)


# Minimum share of a box that must remain within the image.
_VISIBLE = 0.25


def moving(across: Tensor, down: Tensor, right: Tensor | None = None, below: Tensor | None = None) -> Tensor:
    """Return affine maps `(N, 2, 3)` of coordinates from -1 to 1: scales along both axes, and shifts, `(N,)` each."""
    zero = torch.zeros_like(across)
    rows = [
        torch.stack([across, zero, zero if right is None else right], dim=1),
        torch.stack([zero, down, zero if below is None else below], dim=1),
    ]
    return torch.stack(rows, dim=1)


def moved_boxes(boxes: Tensor, matrix: Tensor) -> Tensor:
    """Return the bounding boxes of transformed boxes, clipped to the image; those mostly outside become padding.

    Args:
        boxes: padded boxes `(N, T, 6)`, with shares of the image's sides.
        matrix: the affine map of each image's coordinates, which run from -1 to 1 along either side, `(N, 2, 3)`.
    """
    left, top, right, bottom = (2 * boxes[..., :4] - 1).unbind(dim=2)
    corners = torch.stack(
        [torch.stack([x, y], dim=2) for x in (left, right) for y in (top, bottom)], dim=2
    )  # (N, T, 4, 2)
    moved = torch.einsum("nij,ntkj->ntki", matrix[:, :, :2], corners) + matrix[:, None, None, :, 2]
    low, high = (moved.amin(dim=2) + 1) / 2, (moved.amax(dim=2) + 1) / 2
    inside = torch.cat([low.clamp(0, 1), high.clamp(0, 1)], dim=2)
    area = (high - low).prod(dim=2).clamp_min(1e-12)
    kept = (boxes[..., CODE] >= 0) & ((inside[..., 2:] - inside[..., :2]).prod(dim=2) >= _VISIBLE * area)
    rest = torch.where(kept, boxes[..., CODE], float(PADDING))
    return torch.cat([inside, rest[..., None], boxes[..., CODE + 1 :]], dim=2)


def mixup(batch: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Mix `x` of each row with that of another row, with one weight per batch drawn from Beta(alpha, alpha).

    The weight of the other row is the smaller of the drawn weight and its complement. The distribution of mixtures is
    the same, but each is dominated by its own row, so that training metrics, computed with `y`, remain meaningful. The
    targets are returned as `y` and `y_mixed` instead of being mixed, so that any loss can be used.
    """
    x, y = batch["x"], batch["y"]
    # Draw on the CPU, because reading a number from another device would synchronize.
    drawn = float(torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha)).sample())
    share = min(drawn, 1 - drawn)
    order = torch.randperm(len(x), device=x.device)
    values = x if x.is_floating_point() else x.float()
    mixed = torch.lerp(values, values[order], share)
    return {**batch, "x": mixed, "y_mixed": y[order], "share": torch.tensor(share, device=x.device)}

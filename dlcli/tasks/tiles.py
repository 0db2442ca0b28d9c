"""Large images in pieces: random crops in training, overlapping tiles whose outputs are blended in evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def random_crops(batch: Mapping[str, Tensor], side: int) -> dict[str, Tensor]:
    """Return a batch with a square of each image `x` `(N, C, H, W)` and of its mask `y` `(N, H, W)`, drawn uniformly.

    A side of an image that is shorter than `side` stays whole.
    """
    x = batch["x"]
    places = []
    for size in x.shape[-2:]:
        own = min(side, size)
        places.append((torch.randint(0, size - own + 1, (len(x),)).tolist(), own))
    (tops, height), (lefts, width) = places
    return {
        name: torch.stack(
            [
                row[..., top : top + height, left : left + width]
                for row, top, left in zip(values, tops, lefts, strict=True)
            ]
        )
        if name in ("x", "y", "y_mixed")
        else values
        for name, values in batch.items()
    }


def tile_starts(size: int, side: int, overlap: float) -> list[int]:
    """Return where tiles begin that cover `size` pixels, evenly spaced, and overlap by at least a share of `side`."""
    if size <= side:
        return [0]
    step = max(1, int(side * (1 - overlap)))
    number = 1 + -(-(size - side) // step)
    return [round(place * (size - side) / (number - 1)) for place in range(number)]


def stitched(
    compute: Callable[[Mapping[str, Tensor]], Any], batch: Mapping[str, Tensor], side: int, overlap: float
) -> Tensor:
    """Return the outputs `(N, K, H, W)` of whole images, the weighted mean of those of the tiles that cover a pixel.

    The weight of a tile falls linearly from its centre to its border, where its context is missing.

    Args:
        compute: returns the outputs `(N, K, h, w)` of a batch of tiles.
        batch: fields with the images `x` `(N, C, H, W)`.
        side: side of the tiles.
        overlap: share of the side by which neighbouring tiles overlap at least.
    """
    x = batch["x"]
    height, width = x.shape[-2:]
    total: Tensor | None = None
    weights = torch.zeros(height, width, device=x.device)
    for top in tile_starts(height, side, overlap):
        for left in tile_starts(width, side, overlap):
            rows, columns = slice(top, top + side), slice(left, left + side)
            outputs = compute({**batch, "x": x[..., rows, columns]}).float()
            weight = _ramp(outputs.shape[-2], x.device)[:, None] * _ramp(outputs.shape[-1], x.device)
            if total is None:
                total = outputs.new_zeros(*outputs.shape[:2], height, width)
            total[..., rows, columns] += outputs * weight
            weights[rows, columns] += weight
    assert total is not None
    return total / weights


def _ramp(size: int, device: torch.device) -> Tensor:
    """Return weights `(size,)` that rise from the borders to the centre, all above 0."""
    places = torch.arange(size, device=device)
    return (torch.minimum(places, size - 1 - places) + 1).float() / (size + 1)

"""Drawing COCO's segmentations, polygons and run-length encodings, as boolean masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class BadShape(Exception):
    """A segmentation cannot be drawn; the message is the reason, to follow the annotation's name."""


def shape_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Return the mask `(H, W)` of a segmentation in COCO's form.

    Args:
        segmentation: a list of polygons `[x1, y1, x2, y2, ...]`, whose areas are united; or `{"size": [H, W],
            "counts": ...}` with the lengths of runs of pixels outside and inside by turns, column by column, as a list
            or in COCO's compressed text.
        size: height and width of the image in pixels.

    Raises:
        BadShape: it has another form, or another size.
    """
    if isinstance(segmentation, Mapping):
        return _of_runs(segmentation, size)
    found = np.zeros(size, bool)
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str):
        raise BadShape("has a segmentation that is neither a list of polygons nor run lengths")
    for polygon in segmentation:
        try:
            values = np.array(polygon, np.float64)
        except (TypeError, ValueError) as error:
            raise BadShape("has a polygon that is not a list of numbers") from error
        if values.ndim != 1 or len(values) % 2 or len(values) < 6 or not np.isfinite(values).all():
            raise BadShape(f"has a polygon of {values.size} numbers: three points or more have six or more")
        found |= filled(values.reshape(-1, 2), size)
    return found


def filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which pixels' centres lie inside a polygon (even-odd rule), `(H, W)`.

    Args:
        points: x and y of the corners `(P, 2)`, in pixels from the image's upper left corner.
        size: height and width of the image.
    """
    height, width = size
    found = np.zeros(size, bool)
    after = np.roll(points, -1, axis=0)
    (x, y), (next_x, next_y) = points.T, after.T
    first = max(0, int(np.floor(y.min())))
    for line in range(first, min(height, int(np.ceil(y.max())) + 1)):
        centre = line + 0.5
        crossed = (y <= centre) != (next_y <= centre)
        if not crossed.any():
            continue
        share = (centre - y[crossed]) / (next_y[crossed] - y[crossed])
        places = np.sort(x[crossed] + share * (next_x[crossed] - x[crossed]))
        # The first pixel whose centre is at or after a crossing.
        pixels = np.clip(np.ceil(places - 0.5), 0, width).astype(np.int64)
        for begin, end in zip(pixels[::2], pixels[1::2], strict=True):
            found[line, begin:end] = True
    return found


def _of_runs(encoded: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    if list(encoded.get("size") or ()) != list(size):
        raise BadShape(f"has run lengths of the size {encoded.get('size')}, but its image is {list(size)}")
    counts = encoded.get("counts")
    try:
        runs = np.array(_decompressed(counts) if isinstance(counts, str) else counts, np.int64)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise BadShape("has run lengths that cannot be read") from error
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != size[0] * size[1]:
        raise BadShape(f"has run lengths that do not cover the {size[0] * size[1]:,} pixels of its image")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(size[::-1]).T


def _decompressed(text: str) -> list[int]:
    """Return the run lengths of COCO's compressed text: five bits a character; from the third on, differences."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            code = ord(text[place]) - 48
            value |= (code & 31) << shift
            more = bool(code & 32)
            place, shift = place + 1, shift + 5
            if not more and code & 16:
                value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs

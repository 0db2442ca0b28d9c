"""Conversion of generated images to bytes."""

from __future__ import annotations

import numpy as np


def as_pictures(images: np.ndarray) -> np.ndarray:
    """Return images `(N, C, H, W)` as bytes `(N, H, W)`, or `(N, H, W, 3)` with three channels; NaN becomes 0."""
    pixels = np.nan_to_num(images).round().clip(0, 255).astype(np.uint8)
    return pixels.transpose(0, 2, 3, 1) if pixels.shape[1] == 3 else pixels[:, 0]

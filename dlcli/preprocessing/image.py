"""Preprocessing of images: bytes in memory, scaled per channel on the device."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from dlcli.datasets.images.files import ImageFiles
from dlcli.preprocessing.file_images import FileImages, channels_first
from dlcli.statistics.deviation import scales

# Number of images in files that statistics are computed on, and of images decoded at a time.
_MEASURED, _BLOCK = 10_000, 512


class Image(BaseEstimator):
    """Converts images to bytes `(N, C, H, W)`; `on_device` converts batches to floats and scales each channel.

    Mean and deviation are those of the training rows' pixels, in units of the full range (0 to 1). For images that stay
    in files, they are computed on 10,000 images spread evenly over the rows.
    """

    # `transform` does not depend on the fitted state, so folds can share cached features.
    transform_is_fitted: ClassVar = False

    def __init__(self, scaling: Literal["standard", "none"] = "standard") -> None:
        self.scaling = scaling

    def fit(self, x: np.ndarray | ImageFiles) -> Self:
        """Compute mean and deviation of each channel over the training images `(N, H, W)` or `(N, H, W, C)`."""
        counts = _counts(x)
        levels = np.arange(256) / 255
        means = [float((count * levels).sum() / count.sum()) for count in counts]
        variances = [
            float((count * (levels - mean) ** 2).sum() / count.sum())
            for count, mean in zip(counts, means, strict=True)
        ]
        self.mean_ = np.array(means, dtype=np.float32)
        # Levels are shares of the full range, so the largest magnitude is 1.
        self.std_ = scales(np.sqrt(variances), 1.0, int(counts[0].sum())).astype(np.float32)
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: np.ndarray | ImageFiles) -> dict[str, Any]:
        """Return `x` as bytes `(N, C, H, W)`; images that stay in files are decoded batch by batch."""
        if isinstance(x, ImageFiles):
            return {"x": FileImages(x)}
        return {"x": np.ascontiguousarray(channels_first(x))}

    def facts(self) -> dict[str, Any]:
        """Return no facts: the shape of `x` is sufficient."""
        return {}

    def on_device(self) -> nn.Module:
        """Return a module that converts bytes to floats, scaled per channel or to the range 0 to 1."""
        if self.scaling == "standard":
            return ScaleBytes(self.mean_, self.std_)
        return ScaleBytes(np.zeros_like(self.mean_), np.ones_like(self.std_))


class ScaleBytes(nn.Module):
    """Computes `(x / 255 - mean) / std` per channel of bytes `(N, C, H, W)` as one multiplication and one addition."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.register_buffer(
            "scale", torch.from_numpy(1 / (255 * std)).reshape(1, -1, 1, 1), persistent=False
        )
        self.register_buffer("shift", torch.from_numpy(-mean / std).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return floats `(N, C, H, W)`."""
        return torch.addcmul(self.shift, x.to(self.scale.dtype), self.scale)


def _counts(x: np.ndarray | ImageFiles) -> np.ndarray:
    """Return the histogram of the 256 levels of each channel `(C, 256)`, exact and independent of the image order."""
    if isinstance(x, ImageFiles):
        some = x[np.linspace(0, len(x) - 1, min(len(x), _MEASURED)).astype(np.int64)]
        return sum(
            (_counts(some[first : first + _BLOCK].read()) for first in range(0, len(some), _BLOCK)),
            start=np.zeros((), np.int64),
        )
    images = channels_first(x)
    # numpy's bincount would first convert the bytes to 64-bit integers, and take 40 times as long.
    channels = [torch.from_numpy(images[:, c].reshape(-1)) for c in range(images.shape[1])]
    return np.stack([torch.bincount(channel, minlength=256).numpy() for channel in channels])

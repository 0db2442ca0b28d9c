"""Images: bytes in memory, scaled per channel on the device."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from dlcli.datasets.images.files import ImageFiles
from dlcli.preprocessing.file_images import FileImages, channels_first
from dlcli.statistics.deviation import scales

# Images in files that are measured, and how many of them at a time.
_MEASURED, _AT_ONCE = 10_000, 512


class Image(BaseEstimator):
    """Lays images out as `(N, C, H, W)` bytes; `on_device` makes floats of them and scales each channel.

    The mean and deviation are those of the training rows' pixels, in units of the full range (0 to 1); of images that
    stay in files, 10,000 are measured, spread evenly over the rows.
    """

    # What `transform` gives is the same whatever was fitted: features of it are shared by folds.
    transform_is_fitted: ClassVar = False

    def __init__(self, scaling: Literal["standard", "none"] = "standard") -> None:
        self.scaling = scaling

    def fit(self, x: np.ndarray | ImageFiles) -> Self:
        """Measure each channel over the training images `(N, H, W)` or `(N, H, W, C)`."""
        counts = _counts(x)
        levels = np.arange(256) / 255
        means = [float((count * levels).sum() / count.sum()) for count in counts]
        variances = [
            float((count * (levels - mean) ** 2).sum() / count.sum())
            for count, mean in zip(counts, means, strict=True)
        ]
        self.mean_ = np.array(means, dtype=np.float32)
        # Levels are shares of the full range: none is above 1.
        self.std_ = scales(np.sqrt(variances), 1.0, int(counts[0].sum())).astype(np.float32)
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: np.ndarray | ImageFiles) -> dict[str, Any]:
        """`x` as bytes `(N, C, H, W)`; images that stay in files are decoded a batch at a time."""
        if isinstance(x, ImageFiles):
            return {"x": FileImages(x)}
        return {"x": np.ascontiguousarray(channels_first(x))}

    def facts(self) -> dict[str, Any]:
        """Nothing that the shape of `x` does not say."""
        return {}

    def on_device(self) -> nn.Module:
        """Bytes to floats: scaled per channel, or to the range 0 to 1."""
        if self.scaling == "standard":
            return ScaleBytes(self.mean_, self.std_)
        return ScaleBytes(np.zeros_like(self.mean_), np.ones_like(self.std_))


class ScaleBytes(nn.Module):
    """`(x / 255 - mean) / std` per channel, as one multiplication and one addition; x is `(N, C, H, W)` bytes."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.register_buffer(
            "scale", torch.from_numpy(1 / (255 * std)).reshape(1, -1, 1, 1), persistent=False
        )
        self.register_buffer("shift", torch.from_numpy(-mean / std).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Floats `(N, C, H, W)`."""
        return torch.addcmul(self.shift, x.to(self.scale.dtype), self.scale)


def _counts(x: np.ndarray | ImageFiles) -> np.ndarray:
    """How often each channel has each of the 256 levels `(C, 256)`: exact, whatever the order of the images."""
    if isinstance(x, ImageFiles):
        some = x[np.linspace(0, len(x) - 1, min(len(x), _MEASURED)).astype(np.int64)]
        return sum(
            (_counts(some[first : first + _AT_ONCE].read()) for first in range(0, len(some), _AT_ONCE)),
            start=np.zeros((), np.int64),
        )
    images = channels_first(x)
    # numpy's bincount would make 64-bit integers of the bytes first, and take 40 times as long.
    channels = [torch.from_numpy(images[:, c].reshape(-1)) for c in range(images.shape[1])]
    return np.stack([torch.bincount(channel, minlength=256).numpy() for channel in channels])

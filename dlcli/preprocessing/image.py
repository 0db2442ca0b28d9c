"""Preprocessing of images: compact in memory, scaled per channel on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from dlcli.datasets.images.depth import FULL
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.notices import Notice
from dlcli.errors import DataError
from dlcli.preprocessing.file_images import FileImages, channels_first
from dlcli.statistics.deviation import scales

# Number of images in files that statistics are computed on, and of images decoded at a time.
_MEASURED, _BLOCK = 10_000, 512


class Image(BaseEstimator):
    """Conversion of images to `(N, C, H, W)`; `on_device` converts batches to floats and scales each channel.

    Bytes remain bytes. Values with more than 8 bits (16-bit integers, floats) become floats, with the range of the
    training rows mapped to 0 to 255, so that precision is kept; values of new rows beyond that range are not clipped.

    Mean and deviation are those of the training rows' pixels, in units of the full range (0 to 1). For images that stay
    in files, they and the range are computed on 10,000 images spread evenly over the rows.
    """

    # A fitted attribute for reports only; the fields do not depend on it.
    only_told: ClassVar = frozenset({"rows_seen_"})

    # Attributes that runs of earlier versions lack; these were trained on bytes.
    depth_ = "uint8"
    low_ = 0.0
    high_ = 255.0

    def __init__(self, scaling: Literal["standard", "none"] = "standard") -> None:
        self.scaling = scaling

    @property
    def transform_is_fitted(self) -> bool:
        """Whether `transform` depends on the fitted state; folds share cached features only if it does not."""
        return self.depth_ != "uint8"

    def fit(self, x: np.ndarray | ImageFiles) -> Self:
        """Compute range, mean and deviation of the training images `(N, H, W)` or `(N, H, W, C)`."""
        self.depth_ = _depth(x.dtype)
        if self.depth_ == "uint8":
            means, variances, pixels = _moments_of_bytes(x)
        else:
            extremes = [(block.min(), block.max()) for block in _blocks(x)]
            self.low_ = float(min(low for low, _ in extremes))
            self.high_ = float(max(high for _, high in extremes))
            means, variances, pixels = _moments(self._scaled(block) for block in _blocks(x))
        self.mean_ = np.array(means, dtype=np.float32)
        # Levels are shares of the full range, so the largest magnitude is 1.
        self.std_ = scales(np.sqrt(variances), 1.0, pixels).astype(np.float32)
        self.rows_seen_ = len(x)
        return self

    def transform(self, x: np.ndarray | ImageFiles) -> dict[str, Any]:
        """Return `x` `(N, C, H, W)`; images that stay in files are decoded batch by batch.

        Raises:
            DataError: the values cannot be converted to the scale of the training rows.
        """
        if isinstance(x, ImageFiles):
            return {"x": FileImages(x, self._scaled)}
        return {"x": np.ascontiguousarray(self._scaled(np.asarray(x)))}

    def facts(self) -> dict[str, Any]:
        """Return no facts: the shape of `x` is sufficient."""
        return {}

    def on_device(self) -> nn.Module:
        """Return a module that converts values from 0 to 255 to floats, scaled per channel or to the range 0 to 1."""
        if self.scaling == "standard":
            return ScaleBytes(self.mean_, self.std_)
        return ScaleBytes(np.zeros_like(self.mean_), np.ones_like(self.std_))

    def notices(self) -> list[Notice]:
        """Return the range of the values, unless it is that of bytes."""
        if self.depth_ == "uint8":
            return []
        text = f"pixels from {self.low_:,.6g} to {self.high_:,.6g} in the training rows become 0 to 1"
        return [Notice("pixel_range", self.high_ - self.low_, text, "preprocessing", warns=False)]

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        """Return images `(N, C, H, W)`: bytes, or floats from 0 to 255."""
        images = _in_depth(channels_first(images), self.depth_)
        if self.depth_ == "uint8":
            return images
        span = self.high_ - self.low_ or 1.0
        return ((images.astype(np.float64) - self.low_) * (255 / span)).astype(np.float32)


class ScaleBytes(nn.Module):
    """Module that computes `(x / 255 - mean) / std` per channel of bytes `(N, C, H, W)` with one
    multiplication and one addition."""

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


def _depth(dtype: np.dtype[Any]) -> str:
    """Return the depth that images of a type are trained with."""
    if dtype in (np.uint8, np.bool_):
        return "uint8"
    return "uint16" if dtype == np.uint16 else "float32"


def _in_depth(images: np.ndarray, depth: str) -> np.ndarray:
    """Return images in the depth of the training rows: integers by the full range of their type.

    Raises:
        DataError: the values cannot be converted to the scale of the training rows.
    """
    if images.dtype == np.bool_:
        images = images.astype(np.uint8) * np.uint8(FULL["uint8"])
    if depth == "float32" and _depth(images.dtype) == "float32":
        return images
    if np.issubdtype(images.dtype, np.integer) and images.dtype not in (np.uint8, np.uint16):
        most = FULL.get(depth, 0)
        if images.size and depth in FULL and images.min() >= 0 and images.max() <= most:
            images = images.astype(depth)  # a caller's list of integers
    own = str(images.dtype)
    if own == depth:
        return images
    if own not in FULL or depth not in FULL:
        raise DataError(
            f"the images are {own}, but the model was trained on {depth}: there is no common scale",
            "new data",
            f"Convert them to {depth}, on the scale of the training images.",
        )
    ratio = FULL["uint16"] // FULL["uint8"]
    if depth == "uint16":
        return images.astype(np.uint16) * np.uint16(ratio)
    return ((images.astype(np.uint32) + ratio // 2) // ratio).astype(np.uint8)


def _blocks(x: np.ndarray | ImageFiles) -> Iterator[np.ndarray]:
    """Yield the images for statistics, some at a time."""
    if isinstance(x, ImageFiles):
        x = x[np.linspace(0, len(x) - 1, min(len(x), _MEASURED)).astype(np.int64)]
    for first in range(0, len(x), _BLOCK):
        some = x[first : first + _BLOCK]
        yield some.read() if isinstance(some, ImageFiles) else some


def _moments(blocks: Iterator[np.ndarray]) -> tuple[list[float], list[float], int]:
    """Return mean and variance of each channel of images from 0 to 255, as shares of 255, and the number of pixels."""
    count = 0
    mean: Any = 0.0
    squares: Any = 0.0
    for block in blocks:  # Chan, Golub and LeVeque (1979): merge the moments of two samples
        values = block.swapaxes(0, 1).reshape(block.shape[1], -1).astype(np.float64) / 255
        own, number = values.mean(axis=1), values.shape[1]
        moved = own - mean
        total = count + number
        squares = squares + ((values - own[:, None]) ** 2).sum(axis=1) + moved**2 * count * number / total
        mean = mean + moved * number / total
        count = total
    return list(mean), list(squares / count), count


def _moments_of_bytes(x: np.ndarray | ImageFiles) -> tuple[list[float], list[float], int]:
    """Return mean and variance of each channel of bytes, as shares of 255, and the number of pixels."""
    counts = sum((_counts(block) for block in _blocks(x)), start=np.zeros((), np.int64))
    levels = np.arange(256) / 255
    means = [float((count * levels).sum() / count.sum()) for count in counts]
    variances = [
        float((count * (levels - mean) ** 2).sum() / count.sum())
        for count, mean in zip(counts, means, strict=True)
    ]
    return means, variances, int(counts[0].sum())


def _counts(block: np.ndarray) -> np.ndarray:
    """Return the histogram of the 256 levels of each channel `(C, 256)`, exact and independent of the image order."""
    images = _in_depth(channels_first(block), "uint8")
    # numpy's bincount would convert the bytes to 64-bit integers first and take 40 times as long.
    channels = [torch.from_numpy(images[:, c].reshape(-1)) for c in range(images.shape[1])]
    return np.stack([torch.bincount(channel, minlength=256).numpy() for channel in channels])

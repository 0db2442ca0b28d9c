"""`Masks`: the class of each pixel of images, as targets of `Data`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dlcli.datasets.images.image_files import ImageFiles

# Code of pixels without a class, which the loss and the metrics ignore.
IGNORED = 255


class Masks:
    """Array-like of class codes `(N, H, W)` as bytes, in memory or in files that are decoded when they are read.

    Indexing returns other `Masks`; numpy's `asarray` reads them. Codes are positions in the classes of `Data`, or
    `IGNORED`.

    Args:
        codes: codes of all pixels, or the files that contain them.
        counts: number of pixels of each class in each mask, `(N, C)`.
        content: digest of all codes.
    """

    def __init__(self, codes: np.ndarray | ImageFiles, counts: np.ndarray, content: str = "") -> None:
        self.codes = codes
        self.counts = counts
        self._content = content

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the codes."""
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W)`."""
        return self.codes.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions, 3."""
        return 3

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Masks:
        return Masks(self.codes[rows], self.counts[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.codes if isinstance(self.codes, np.ndarray) else self.codes.read()

    def recoded(self, codes: np.ndarray, classes: int) -> Masks:
        """Return the masks with new codes: `codes` `(C,)` maps each old code to one of `classes` new ones."""
        table = np.full(256, IGNORED, np.uint8)
        table[: len(codes)] = codes
        counts = np.zeros((len(self), classes), np.int64)
        counts[:, codes] = self.counts
        if isinstance(self.codes, np.ndarray):
            return Masks(table[self.codes], counts)
        decoder: Any = self.codes.decoder
        values = {value: int(table[code]) for value, code in decoder.codes.items()}
        return Masks(ImageFiles(self.codes.entries, replace(decoder, codes=values)), counts)

    def pieces(self) -> Iterator[Any]:
        """Yield the values that the fingerprint is computed from."""
        yield self._content or np.asarray(self)


def pixel_counts(y: Masks | np.ndarray, classes: int) -> np.ndarray:
    """Return the number of pixels of each class in each mask, `(N, C)`; ignored pixels are not counted."""
    if isinstance(y, Masks):
        return y.counts
    counts = np.zeros((len(y), classes), np.int64)
    for row, codes in enumerate(y):  # not all at once: bincount converts the bytes to 64-bit integers
        counts[row] = np.bincount(codes.astype(np.uint8).ravel(), minlength=256)[:classes]
    return counts

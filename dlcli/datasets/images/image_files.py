"""`ImageFiles`: images that stay in files and are decoded when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcli.datasets.folders.bad_files import BadFile, bad_file
from dlcli.datasets.folders.file_threads import in_threads
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.image_decoder import Decoder


class ImageFiles:
    """Array-like of images `(N, H, W)` or `(N, H, W, 3)`, decoded when they are read.

    Indexing returns other `ImageFiles`; `read` and numpy's `asarray` decode.
    """

    def __init__(self, entries: Sequence[Stored], decoder: Decoder) -> None:
        assert decoder.size is not None
        self.entries = entries
        self.decoder = decoder

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(self.decoder.depth)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W)`, or `(N, H, W, 3)`."""
        assert self.decoder.size is not None
        return (len(self.entries), *self.decoder.size, *(() if self.decoder.grey else (3,)))

    @property
    def ndim(self) -> int:
        """Number of dimensions: 3, or 4 with a channel axis."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all decoded images in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> ImageFiles:
        if isinstance(rows, slice):
            return ImageFiles(self.entries[rows], self.decoder)
        return ImageFiles([self.entries[int(row)] for row in np.asarray(rows)], self.decoder)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return self.read()

    def read(self) -> np.ndarray:
        """Decode and return all images.

        Raises:
            DataError: a file cannot be decoded.
        """
        images = np.empty(self.shape, self.dtype)
        for row, image in enumerate(in_threads(self.decoder.decode, self.entries)):
            if isinstance(image, BadFile):
                raise bad_file(self.entries[row], image)
            images[row] = image
        return images

    def read_one(self, row: int) -> np.ndarray:
        """Decode and return one image; raises the same errors as `read`."""
        try:
            return self.decoder.decode(self.entries[row])
        except BadFile as bad:
            raise bad_file(self.entries[row], bad) from bad

"""`ImageFiles`: raw rows that stay in their files until they are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.datasets.class_folders import Stored
from dlcli.datasets.images.decoding import BadImage, Decoder, in_threads
from dlcli.errors import DataError


class ImageFiles:
    """Images `(N, H, W)` or `(N, H, W, 3)` as bytes, like an array of them, but decoded when they are read.

    Indexing gives other `ImageFiles`; `read`, and numpy's `asarray`, decode.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, entries: Sequence[Stored], decoder: Decoder) -> None:
        assert decoder.size is not None
        self.entries = entries
        self.decoder = decoder

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W)`, or `(N, H, W, 3)`."""
        assert self.decoder.size is not None
        return (len(self.entries), *self.decoder.size, *(() if self.decoder.grey else (3,)))

    @property
    def ndim(self) -> int:
        """3, or 4 where there are channels."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What all images take, once they are decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> ImageFiles:
        if isinstance(rows, slice):
            return ImageFiles(self.entries[rows], self.decoder)
        return ImageFiles([self.entries[int(row)] for row in np.asarray(rows)], self.decoder)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return self.read()

    def read(self) -> np.ndarray:
        """All images.

        Raises:
            DataError: a file that cannot be decoded.
        """
        images = np.empty(self.shape, np.uint8)
        for row, image in enumerate(in_threads(self.decoder.decode, self.entries)):
            if isinstance(image, BadImage):
                raise bad_file(self.entries[row], image)
            images[row] = image
        return images

    def read_one(self, row: int) -> np.ndarray:
        """One image; raises as `read` does."""
        try:
            return self.decoder.decode(self.entries[row])
        except BadImage as bad:
            raise bad_file(self.entries[row], bad) from bad


def bad_file(entry: Stored, bad: BadImage) -> DataError:
    """The error for a file that is no whole image."""
    return DataError(
        str(bad), entry.where, "Repair or remove it, or leave such files out: dataset.on_bad=skip."
    )

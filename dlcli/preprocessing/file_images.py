"""Fields of images and masks in files, decoded per batch, ahead of time if the next batches are known."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from dlcli.datasets.folders.file_threads import threads
from dlcli.datasets.images.image_files import ImageFiles

# Number of batches decoded ahead. More would only take memory, because all threads decode the same batch.
_AHEAD = 3

Rows = slice | Tensor

# Converts images `(B, H, W)` or `(B, H, W, C)` to `(B, C, H, W)`.
Convert = Callable[[np.ndarray], np.ndarray]


class FileImages:
    """Images `(N, C, H, W)`, decoded and converted batch by batch.

    After a call of `expect`, some batches are decoded ahead while the current one trains. Decoding runs in threads,
    since Pillow releases the GIL.
    """

    def __init__(
        self, files: ImageFiles, convert: Convert | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self._files = files
        self._convert = convert or channels_first
        self._device = torch.device(device)
        self._pool: ThreadPoolExecutor | None = None
        self._coming: Iterator[Rows] = iter(())
        self._ahead: deque[tuple[list[int], list[Future[np.ndarray]]]] = deque()

    @property
    def shape(self) -> torch.Size:
        """`(N, C, H, W)`."""
        rows, height, width, *channels = self._files.shape
        return torch.Size((rows, *(channels or (1,)), height, width))

    @property
    def device(self) -> torch.device:
        """Device of the batches that are read."""
        return self._device

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._read(rows)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`."""
        return self._read(index)

    def to(self, device: torch.device) -> FileImages:
        """Return a field of the same rows whose batches are moved to a device."""
        return FileImages(self._files, self._convert, device)

    def expect(self, batches: Iterator[Rows]) -> None:
        """Announce the batches that will be read next, and start decoding the first of them."""
        for _, futures in self._ahead:
            for future in futures:
                future.cancel()
        self._ahead.clear()
        self._coming = batches
        self._fill()

    def _fill(self) -> None:
        while len(self._ahead) < _AHEAD and (rows := next(self._coming, None)) is not None:
            numbers = self._numbers(rows)
            self._ahead.append((numbers, self._start(numbers)))

    def _read(self, rows: Rows) -> Tensor:
        numbers = self._numbers(rows)
        if self._ahead and self._ahead[0][0] == numbers:
            _, futures = self._ahead.popleft()
            self._fill()
        else:
            futures = self._start(numbers)
        height, width, *channels = self._files.shape[1:]
        images = np.empty((len(numbers), height, width, *channels), self._files.dtype)
        for place, future in enumerate(futures):
            images[place] = future.result()
        return torch.from_numpy(np.ascontiguousarray(self._convert(images))).to(self._device)

    def _numbers(self, rows: Rows) -> list[int]:
        return list(range(len(self))[rows]) if isinstance(rows, slice) else rows.tolist()

    def _start(self, numbers: list[int]) -> list[Future[np.ndarray]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads(), thread_name_prefix="decode")
        return [self._pool.submit(self._files.read_one, number) for number in numbers]


class FileMasks(FileImages):
    """Codes `(N, H, W)` of masks that stay in files, decoded batch by batch."""

    def __init__(self, files: ImageFiles, device: torch.device | str = "cpu") -> None:
        super().__init__(files, lambda codes: codes, device)

    @property
    def shape(self) -> torch.Size:
        """`(N, H, W)`."""
        return torch.Size(self._files.shape)

    def to(self, device: torch.device) -> FileMasks:
        """Return a field of the same rows whose batches are moved to a device."""
        return FileMasks(self._files, device)


def channels_first(x: np.ndarray) -> np.ndarray:
    """Return images `(N, H, W)` or `(N, H, W, C)` as a view `(N, C, H, W)`."""
    return x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)

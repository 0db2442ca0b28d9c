"""Images that stay in files, as a field: a batch is decoded when it is read, or in the background before that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from dlcli.datasets.images.decoding import threads
from dlcli.datasets.images.files import ImageFiles

# Batches that are decoded ahead. More of them would only take memory: a batch is decoded by all threads.
_AHEAD = 3

Rows = slice | Tensor


class FileImages:
    """Bytes `(N, C, H, W)`, a batch at a time.

    Once it has been told what to `expect`, it decodes some batches ahead while the batch before them trains. Decoding
    runs in threads: Pillow lets go of the interpreter.
    """

    def __init__(self, files: ImageFiles, device: torch.device | str = "cpu") -> None:
        self._files = files
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
        """Where a batch that is read will be."""
        return self._device

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._read(rows)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index `(B,)`."""
        return self._read(index)

    def to(self, device: torch.device) -> FileImages:
        """The same rows, sent to a device as they are read."""
        return FileImages(self._files, device)

    def expect(self, batches: Iterator[Rows]) -> None:
        """These batches will be read next: begin with the first few."""
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
        images = np.empty((len(numbers), height, width, *channels), np.uint8)
        for place, future in enumerate(futures):
            images[place] = future.result()
        return torch.from_numpy(np.ascontiguousarray(channels_first(images))).to(self._device)

    def _numbers(self, rows: Rows) -> list[int]:
        return list(range(len(self))[rows]) if isinstance(rows, slice) else rows.tolist()

    def _start(self, numbers: list[int]) -> list[Future[np.ndarray]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads(), thread_name_prefix="decode")
        return [self._pool.submit(self._files.read_one, number) for number in numbers]


def channels_first(x: np.ndarray) -> np.ndarray:
    """Images `(N, H, W)` or `(N, H, W, C)` as a view `(N, C, H, W)`."""
    if x.dtype != np.uint8:
        raise TypeError(f"images are bytes (uint8), these are {x.dtype}")
    return x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)

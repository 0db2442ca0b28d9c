"""How many rows a step should have: the fewest that keep the device busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le

from dlcli.errors import OutOfMemory
from dlcli.training.tryout import Found, Tryout

_WARM_UP, _TIMED = 2, 5


class BatchSizeFinder:
    """Doubles the batch until memory, rows or `largest` end it, and takes the smallest that is nearly the fastest.

    More rows in a step are no aim in themselves: past the size that fills the device they only make steps fewer. Since
    it measures time, it may find another size the next time; the run's record has the one that was used.

    Args:
        smallest: rows of the first batch that is tried.
        largest: rows of the last.
        enough: share of the highest speed, in rows per second, that is enough.
    """

    def __init__(
        self,
        smallest: Annotated[int, Ge(1)] = 8,
        largest: Annotated[int, Ge(1)] = 4096,
        enough: Annotated[float, Gt(0), Le(1)] = 0.8,
    ) -> None:
        if smallest > largest:
            raise ValueError(f"smallest ({smallest}) must not be more than largest ({largest})")
        self.smallest = smallest
        self.largest = largest
        self.enough = enough

    def find(self, try_out: Callable[[int], Tryout], batch_size: int) -> Found:
        """The size.

        Raises:
            OutOfMemory: not even the smallest fits.
        """
        sizes: list[float] = []
        speeds: list[float] = []
        size, end = self.smallest, ""
        while size <= self.largest:
            try:
                tryout = try_out(size)
                rows = min(size, tryout.rows)
                speeds.append(_rows_per_second(tryout, rows))
            except OutOfMemory:
                if not sizes:
                    raise
                end = f"; {size} rows do not fit into memory"
                break
            sizes.append(rows)
            if rows < size:
                break
            size *= 2
        fast = self.enough * max(speeds)
        value = next(int(size) for size, speed in zip(sizes, speeds, strict=True) if speed >= fast)
        reason = f"the smallest with {self.enough:.0%} of the highest speed{end}"
        return Found("dataset.batch_size", value, sizes, speeds, "rows per second", reason)


def _rows_per_second(tryout: Tryout, rows: int) -> float:
    seconds = []
    for step in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        tryout.step()
        if tryout.device.type == "cuda":
            torch.cuda.synchronize(tryout.device)
        if step >= _WARM_UP:
            seconds.append(time.perf_counter() - started)
    return rows / median(seconds)

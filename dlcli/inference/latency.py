"""How long a network takes for a row: what somebody waits who asks it for one prediction at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice

import numpy as np
import torch

from dlcli.datasets.data import Data, take
from dlcli.inference.saved_model import SavedModel
from dlcli.training.fields import as_fields
from dlcli.training.loader import BatchLoader

# Rows that are sent through in turn (they may differ in length), passes that warm up, and those that are timed: at
# most so many, and none that begins after so many seconds.
_ROWS, _WARM_UP, _PASSES, _SECONDS = 16, 3, 50, 1.0


@torch.inference_mode()
def latency_ms(model: SavedModel, data: Data, rows: np.ndarray, device: torch.device) -> float:
    """Milliseconds of a forward pass of one row: the median of several, on one thread where the device is a CPU.

    What the preprocessing does on the host, before rows reach the device, is not in it.

    Args:
        model: of which the network computes.
        data: the raw rows.
        rows: which of them are sent through; one at least.
        device: where.
    """
    network = model.network.to(device).eval()
    fields = as_fields(model.preprocessing.transform(take(data.x, rows[:_ROWS])))
    batches = [
        {name: values.to(device) for name, values in batch.items()} for batch in BatchLoader(fields, 1)
    ]
    times: list[float] = []
    with _one_thread():
        for batch in islice(cycle(batches), _WARM_UP):
            network(batch)
        _wait(device)
        started = time.perf_counter()
        for batch in islice(cycle(batches), _PASSES):
            before = time.perf_counter()
            network(batch)
            _wait(device)
            times.append(time.perf_counter() - before)
            if time.perf_counter() - started > _SECONDS:
                break
    return 1000 * statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def _one_thread() -> Iterator[None]:
    """How many threads there are differs between machines, and between trials side by side and one alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

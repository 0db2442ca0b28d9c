"""Measure the latency of single-row inference."""

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

# Name of the metric, in milliseconds. It is measured only if it is an objective of a search.
LATENCY = "model/latency_ms"

# Number of different rows (they may differ in length), of warm-up passes, and maximum number of timed passes; and
# seconds after which no further pass begins.
_ROWS, _WARM_UP, _PASSES, _SECONDS = 16, 3, 50, 1.0


@torch.inference_mode()
def latency_ms(model: SavedModel, data: Data, rows: np.ndarray, device: torch.device) -> float:
    """Return the median duration of a forward pass of one row, in milliseconds.

    A CPU uses a single thread. The time does not include the preprocessing on the host.

    Args:
        model: The model whose network is timed.
        data: Rows of the dataset.
        rows: Numbers of the rows to use, at least one.
        device: Device of the forward passes.
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
    """Use a single thread, so that the result does not depend on the machine or on the number of parallel trials."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

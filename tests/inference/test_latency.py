"""The latency of single-row inference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlcli.datasets.data import Data
from dlcli.inference import latency
from dlcli.inference.saved_model import SavedModel
from dlcli.training.network import Network


class Watched(nn.Module):
    """A network that records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[int, ...], int, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((tuple(x.shape), torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return x


def test_it_is_the_median_of_single_rows_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Data("rows", "table", np.zeros((20, 3), np.float32), np.zeros(20, np.int64), ("a", "b"))
    watched = Watched()
    preprocessing: Any = SimpleNamespace(transform=lambda x: {"x": x})
    model = SavedModel(Network(watched), preprocessing, cast(Any, None), "table")
    # Times of the start, and before and after each pass, with a check of the limit.
    times = iter([0.0, 0.1, 0.108, 0.2, 0.3, 0.307, 0.4, 0.5, 1.4, 1.5])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(times))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = latency.latency_ms(model, data, np.arange(20), torch.device("cpu"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert found == pytest.approx(8)
    assert set(watched.calls) == {((1, 3), 1, True)}

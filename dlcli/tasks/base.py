"""What every task can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import MetricCollection


class Task(Protocol):
    """The meaning of a model's outputs."""

    num_outputs: int

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss of some rows, a scalar."""

    def metrics(self) -> MetricCollection:
        """New metrics of `(outputs, y)`, under the names that the record uses."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names of `metrics()`."""

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """What a person reads: one row a prediction, in the user's own labels or unit."""

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Targets as the user wrote them."""

    def pictures(self, outputs: Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        """Names and pictures of some rows' outputs, for `plots/`."""

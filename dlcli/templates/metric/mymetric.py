"""MyMetric: a custom metric."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class MyMetric(Metric):
    """Share of wrong predictions. Further arguments of `__init__` are keys of the YAML file.

    An argument of `__init__` receives a fact about the task if it has the name of the fact: `task`, `num_classes`,
    `num_labels`, `classes`, `class_counts`; for numbers `num_outputs` and `targets`.
    """

    full_state_update = False
    # Direction and bounds: for the best epoch, for `dlcli compare`, and for intervals.
    higher_is_better = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    # Input of update: probabilities, labels (the predicted classes), or values in the unit of the target.
    takes = "labels"
    wrong: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        # States are summed over batches, and over processes.
        self.add_state("wrong", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("rows", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of rows: predicted and true classes `(N,)`."""
        self.wrong += (predicted != y).sum()
        self.rows += y.numel()

    def compute(self) -> Tensor:
        """Return the value over all rows."""
        return self.wrong / self.rows

"""Matthews' correlation coefficient.

The implementation in torchmetrics 1.9 does not return 0 if all predictions have one class, as those of the baseline: it
replaces a denominator of 0 by a small number, and the numerator by the difference of correct and wrong rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.tasks.metric import Metric


class MatthewsCorrelation(Metric):
    """Correlation of predicted and true classes (Matthews, 1975; for several classes Gorodkin, 2004).

    It is 0 if all predictions have one class, and NaN if all targets do. Labels are pooled as if each were a separate
    row.

    Args:
        num_classes: number of classes; None for labels.
    """

    takes = "labels"
    undefined = ("constant_target",)
    higher_is_better = True
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0
    matrix: Tensor

    def __init__(self, num_classes: int | None = None) -> None:
        super().__init__()
        self._classes = num_classes or 2
        self.add_sum("matrix", (self._classes, self._classes))

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add a batch of predicted and true classes `(N,)`, or labels 0 and 1 `(N, K)`."""
        cells = y.flatten() * self._classes + predicted.flatten()
        self.matrix = self.matrix + torch.bincount(cells, minlength=self._classes**2).reshape(
            self.matrix.shape
        )

    def compute(self) -> Tensor:
        """Return a value between -1 and 1."""
        rows, right = self.matrix.sum(), self.matrix.trace()
        predicted, true = self.matrix.sum(dim=0), self.matrix.sum(dim=1)
        varies, varies_predicted = rows**2 - true @ true, rows**2 - predicted @ predicted
        value = (right * rows - predicted @ true) / (varies * varies_predicted).sqrt()
        return torch.where(varies > 0, torch.where(varies_predicted > 0, value, 0.0), torch.nan)

"""The training rows of a forest, and the interface of the algorithms that grow one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn

from dlcli.models.tree_nodes import Nodes


@dataclass(frozen=True)
class Rows:
    """The training rows of a forest.

    Attributes:
        x: `(N, F)`, in double precision; NaN where a value is missing.
        y: class codes `(N,)`, or labels or scaled targets `(N, K)`.
        loss: the task's loss.
    """

    x: np.ndarray
    y: np.ndarray
    loss: nn.Module

    @property
    def has_labels(self) -> bool:
        """Whether the targets are labels, 0 or 1."""
        return type(self.loss).__name__ == "BinaryCrossEntropy"

    def weights(self, codes: np.ndarray, column: int = 0) -> np.ndarray | None:
        """Return the weight of each row by its class, or its label of a column; None if all are alike."""
        weights = getattr(self.loss, "weights", None)
        if weights is None:
            return None
        of_each = weights.cpu().numpy().astype(np.float64)
        return (of_each[column] if of_each.ndim == 2 else of_each)[codes]


class Grower(Protocol):
    """Grows the trees of a forest."""

    def grow(self, iterations: int) -> Nodes:
        """Grow trees up to a number of iterations, and return the new ones."""

    def begin(self) -> None:
        """Set the model's initial outputs, which the first call of `grow` has determined."""

    def add_to(self, sums: np.ndarray, x: np.ndarray, first: int, last: int) -> None:
        """Add the values of some iterations for rows `x` to `sums` `(N, num_outputs)`, an iteration after the other.

        scikit-learn's own code walks the trees many times as fast as a module of torch.
        """

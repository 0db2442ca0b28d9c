"""Metrics of tags: precision, recall and F1 of entities, and accuracy of words, pooled over all rows."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dlcli.tasks.metric import Metric, counted_over

EntityFigure = Literal["precision", "recall", "f1", "macro_f1", "accuracy"]


class EntityScore(Metric):
    """Agreement of predicted and true entities or tags.

    Args:
        kind: `precision`, `recall` and `f1` of all entities together (micro averages, as seqeval reports them),
            `macro_f1`, the mean F1 of the types that occur, or `accuracy`, the share of words with the correct tag.
        num_types: number of types of entities.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    shares = "entities"
    counted: Tensor

    def __init__(self, kind: EntityFigure, num_types: int) -> None:
        super().__init__()
        self.kind = kind
        self.add_sum("counted", (3, num_types + 1))

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; `predicted` `(N, 3, K + 1)` are true, predicted and correct numbers of entities, then of words."""
        self.counted = self.counted + predicted.double().sum(dim=0)

    def compute(self) -> Tensor:
        """Return the value; precision without predicted entities and recall without true ones are 0, as in seqeval."""
        given, _, right = self.counted
        if self.kind == "accuracy":
            return right[-1] / given[-1]
        if self.kind == "macro_f1":
            return entity_figures(self.counted[:, :-1])["f1"][self._there()].mean()
        return entity_figures(self.counted[:, :-1].sum(dim=1, keepdim=True))[self.kind][0]

    def over(self) -> tuple[int, int] | None:
        """Return the number of types that occur, and that of all; None for figures of all entities together."""
        return counted_over(self._there()) if self.kind == "macro_f1" else None

    def _there(self) -> Tensor:
        """Return which types occur in the rows or among the predictions `(K,)`."""
        return self.counted[:2, :-1].sum(dim=0) > 0


def entity_figures(counts: Tensor) -> dict[str, Tensor]:
    """Return precision, recall and F1 of each type `(K,)` from true, predicted and correct numbers `(3, K)`.

    They are 0 for types without predicted or without true entities.
    """
    given, found, right = counts.double()
    return {
        "precision": right / found.clamp_min(1),
        "recall": right / given.clamp_min(1),
        "f1": torch.where(given + found > 0, 2 * right / (given + found).clamp_min(1), 0.0),
    }

"""Metrics of answers: means over questions."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from dlcli.tasks.metric import MeanMetric

_COLUMNS = {"exact_match": 0, "f1": 1}


class AnswerScore(MeanMetric):
    """Mean exact match or F1 of answers, by the definition of SQuAD (see `squad_score`).

    Args:
        kind: `exact_match` or `f1`.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, kind: Literal["exact_match", "f1"]) -> None:
        super().__init__()
        self.kind = kind

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; `predicted` `(N, 2)` are their exact match and F1, and y is not used."""
        self.add(predicted[:, _COLUMNS[self.kind]])

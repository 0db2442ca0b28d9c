"""Greedy selection of the members of an ensemble from a library of models, with replacement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Selection:
    """The members that were selected.

    Attributes:
        counts: How often each model was selected; 0 for models that are not members.
        score: The score of the ensemble on the rows of the selection, which is an optimistic estimate.
        single: The best score of a single model on these rows.
        best: Index of that model.
    """

    counts: tuple[int, ...]
    score: float
    single: float
    best: int


def select_greedily(
    outputs: Sequence[Tensor],
    combined: Callable[[Tensor], Tensor],
    score: Callable[[Tensor], float],
    *,
    maximize: bool,
    size: int,
) -> Selection:
    """Return the members that forward selection with replacement chooses.

    A score that is NaN, as of a model whose loss diverged, is the worst one. If all are, so is the score of the result.

    Each step adds the model with which the ensemble scores best, starting from the empty ensemble; the best ensemble of
    all steps is returned (Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models",
    2004, sections 2 and 2.1). A model that is added several times counts several times.

    Args:
        outputs: Outputs of each model on the same rows, `(N, ...)` each.
        combined: Maps the outputs of members `(N, K, ...)` to those of the ensemble `(N, ...)`.
        score: Returns the score of an ensemble's outputs.
        maximize: Whether a higher score is better.
        size: Number of steps.
    """
    sign = 1.0 if maximize else -1.0

    def signed(members: Tensor) -> float:
        value = sign * score(combined(members))
        return -math.inf if math.isnan(value) else value

    alone = [signed(one.unsqueeze(1)) for one in outputs]
    best = max(range(len(outputs)), key=alone.__getitem__)
    chosen, found, reached = [best], [best], alone[best]
    for _ in range(size - 1):
        tried = [signed(torch.stack([*(outputs[n] for n in chosen), one], dim=1)) for one in outputs]
        added = max(range(len(outputs)), key=tried.__getitem__)
        chosen.append(added)
        if tried[added] > reached:
            found, reached = list(chosen), tried[added]
    counts = tuple(found.count(number) for number in range(len(outputs)))
    ends = [math.nan if value == -math.inf else sign * value for value in (reached, alone[best])]
    return Selection(counts, ends[0], ends[1], best)

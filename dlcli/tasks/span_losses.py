"""Losses of answers as spans. Each returns the loss of each row, and a mask of rows with a target."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dlcli.tasks.best_spans import SpanScores


class SpanLikelihood(nn.Module):
    """Mean negative log-likelihood of an answer's start and end.

    The probabilities of an answer that is within several windows are added (Clark and Gardner,
    2018).
    """

    accepts: ClassVar = {"answer_span"}
    lower_bound: ClassVar = 0.0

    def forward(self, scores: SpanScores, y: Tensor, unanswerable: bool) -> tuple[Tensor, Tensor]:
        """Return the loss of each row `(N,)`, 0 without a target, and whether its answer is within a window `(N,)`.

        Args:
            scores: the scores.
            y: records of `Answers.records`, padded `(N, L)`; the first answer is the target.
            unanswerable: whether the first token denotes "no answer"; otherwise rows without an answer have no target.
        """
        has = y[:, 0] > 0
        begin = y[:, 1].long()[:, None, None]
        end = (y[:, 2] if y.shape[1] > 2 else y[:, 0]).long()[:, None, None]
        is_start = scores.allowed & (scores.first <= begin) & (begin < scores.last)
        is_end = scores.allowed & (scores.first < end) & (end <= scores.last)
        whole = (is_start.any(dim=2) & is_end.any(dim=2) & has[:, None]).unsqueeze(2)
        is_start, is_end = is_start & whole, is_end & whole
        if unanswerable:
            is_start[:, 0, 0] |= ~has
            is_end[:, 0, 0] |= ~has
        targeted = is_start.flatten(1).any(dim=1)

        def likelihood(found: Tensor, right: Tensor) -> Tensor:
            # For a row without a target the sum is over all tokens; it is 0 and has a finite gradient.
            used = torch.where(targeted[:, None, None], right, torch.isfinite(found))
            return found.masked_fill(~used, -math.inf).flatten(1).logsumexp(dim=1)

        both = likelihood(scores.start, is_start) + likelihood(scores.end, is_end)
        return torch.where(targeted, -both / 2, torch.zeros_like(both)), targeted


def tokens_of_answer(scores: SpanScores, y: Tensor) -> Tensor:
    """Return the number of tokens of each row's first answer `(N,)`, in the window that holds most of it.

    Args:
        scores: the scores, of which the places of the tokens are used.
        y: records of `Answers.records`, padded `(N, L)`.
    """
    if y.shape[1] < 3:
        return torch.zeros_like(y[:, 0])
    begin, end = y[:, 1].long()[:, None, None], y[:, 2].long()[:, None, None]
    within = scores.allowed & (scores.first < end) & (scores.last > begin) & (y[:, 0] > 0)[:, None, None]
    return within.sum(dim=2).amax(dim=1)

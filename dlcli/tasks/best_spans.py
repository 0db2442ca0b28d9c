"""Probabilities of start and end tokens over all windows of a context, and the most probable span."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class SpanScores(NamedTuple):
    """Log-probabilities of tokens, normalized over all windows of a row, `(N, W, T)` each.

    Attributes:
        start: log-probability that the answer starts with the token; minus infinity for tokens outside the context.
        end: log-probability that it ends with the token.
        first: position of each token's first character in the context; -1 for other tokens.
        last: position after its last character.
        allowed: whether the token can be part of an answer.
    """

    start: Tensor
    end: Tensor
    first: Tensor
    last: Tensor
    allowed: Tensor


def span_scores(outputs: Tensor, unanswerable: bool) -> SpanScores:
    """Return the log-probabilities of outputs `(N, W, T, 4)`: start and end logits, and the span of each token.

    They are normalized over all windows of a row, so that windows are comparable (Clark and Gardner, "Simple and
    Effective Multi-Paragraph Reading Comprehension", 2018). If questions may be unanswerable, the first token denotes
    "no answer", as in BERT (Devlin et al., 2019).
    """
    start, end, first, last = outputs.float().unbind(dim=3)
    allowed = last > first
    scored = allowed.clone()
    if unanswerable:
        scored[:, 0, 0] = True
    else:  # a context without any token
        scored[:, 0, 0] |= ~scored.flatten(1).any(dim=1)

    def normalized(logits: Tensor) -> Tensor:
        masked = logits.masked_fill(~scored, -math.inf)
        return masked.flatten(1).log_softmax(dim=1).view_as(logits)

    return SpanScores(normalized(start), normalized(end), first.long(), last.long(), allowed)


def best_spans(scores: SpanScores, longest: int, unanswerable: bool) -> Tensor:
    """Return the probability of each row's best span, and its first and last character, `(N, 3)`.

    "No answer" is the span from -1 to -1, predicted if it is more probable than the best span. The
    probability of a span is the product of those of its start and end.

    Args:
        scores: the scores.
        longest: maximum number of tokens of a span; a span is within one window.
        unanswerable: whether the first token denotes "no answer".
    """
    steps = scores.start.shape[2]
    width = min(longest, steps)
    start = scores.start.masked_fill(~scores.allowed, -math.inf)
    end = scores.end.masked_fill(~scores.allowed, -math.inf)
    later = functional.pad(end, (0, width - 1), value=-math.inf).unfold(2, width, 1)
    sums = (start.unsqueeze(3) + later).flatten(1)
    best, place = sums.max(dim=1)
    token, ahead = place // width, place % width
    first = scores.first.flatten(1).gather(1, token[:, None])
    last = scores.last.flatten(1).gather(1, (token + ahead)[:, None])
    found = torch.cat([best.exp()[:, None], first.float(), last.float()], dim=1)
    if not unanswerable:
        return found
    none = scores.start[:, 0, 0] + scores.end[:, 0, 0]
    empty = torch.stack([none.exp(), torch.full_like(none, -1), torch.full_like(none, -1)], dim=1)
    return torch.where((none > best)[:, None], empty, found)

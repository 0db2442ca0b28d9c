"""Logits of mean probabilities, and of class frequencies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def mean_of_sigmoids(logits: Tensor) -> Tensor:
    """Return the logits `(N, ...)` of the mean probability over the second dimension of `(N, K, ...)`."""
    return logsigmoid(logits).logsumexp(dim=1) - logsigmoid(-logits).logsumexp(dim=1)


def prior_logits(counts: Tensor) -> Tensor:
    """Return the logits `(C,)` whose probabilities are the shares of `counts` `(C,)`; almost 0 for an empty class."""
    shares = counts.double() / counts.sum()
    return shares.clamp_min(torch.finfo(torch.float32).eps).log().float()

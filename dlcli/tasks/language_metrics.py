"""Metrics of language models, from sums of losses and numbers over all rows."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from dlcli.tasks.metric import Metric


class Surprise(Metric):
    """Perplexity, bits per character, or the share of masked tokens that are the most probable ones.

    Args:
        kind: `perplexity`, the exponential of the mean loss per token; `bits_per_character`, the mean loss per
            character in bits, which is independent of the tokenization; or `masked_accuracy`.
    """

    shares = "language"
    totals: Tensor

    def __init__(self, kind: Literal["perplexity", "bits_per_character", "masked_accuracy"]) -> None:
        super().__init__()
        self.kind = kind
        self.higher_is_better = kind == "masked_accuracy"
        self.plot_lower_bound = 1.0 if kind == "perplexity" else 0.0
        self.plot_upper_bound = 1.0 if kind == "masked_accuracy" else None
        self.add_sum("totals", (3,))

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; `predicted` `(N, 3)` are sums of losses, tokens, and characters or
        right tokens, and y is not used."""
        self.totals = self.totals + predicted.double().sum(dim=0)

    def compute(self) -> Tensor:
        """Return the value; NaN without rows."""
        losses, tokens, others = self.totals
        if self.kind == "perplexity":
            return torch.exp(losses / tokens)
        if self.kind == "masked_accuracy":
            return others / tokens
        return losses / others / math.log(2)

"""Losses of generated tokens."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.preprocessing.subwords import PADDING
from dlcli.tasks.losses import Smoothing


class TokenCrossEntropy(nn.Module):
    """Cross-entropy of each token of a target; padding is ignored.

    Args:
        label_smoothing: share of the target's probability that is spread over all tokens (Szegedy et al., 2016).
    """

    accepts: ClassVar = {"seq2seq"}
    lower_bound: ClassVar = 0.0

    def __init__(self, label_smoothing: Smoothing = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the losses `(N, T)` of tokens `(N, T)` from logits `(N, T, V)`, 0 for padding."""
        losses = functional.cross_entropy(
            logits.flatten(0, 1),
            y.flatten(),
            ignore_index=PADDING,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return losses.view(y.shape)

    def of_constant(self, shares: Tensor) -> Tensor:
        """Return the loss of each token `(V,)` if the same probabilities `(V,)` are predicted everywhere."""
        costs = -shares.clamp_min(torch.finfo(torch.float32).tiny).log()
        return (1 - self.label_smoothing) * costs + self.label_smoothing * costs.mean()

"""Losses of tags. Each returns the loss of each word; words beyond the end of a row have loss 0."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from dlcli.tasks.losses import Smoothed


class TagCrossEntropy(Smoothed):
    """Cross-entropy of each word's tag; for the arguments see `Smoothed`."""

    accepts: ClassVar = {"tag"}

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the losses `(N, T)` of logits `(N, T, C)` for codes `(N, T)`, negative beyond the end of a row."""
        losses = functional.cross_entropy(
            logits.transpose(1, 2),
            y,
            label_smoothing=self.label_smoothing,
            reduction="none",
            ignore_index=-100,
        )
        return losses if self.weights is None else losses * self.weights[y.clamp_min(0)]

"""Losses of tags. Each returns the loss of each word; words beyond the end of a row have loss 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from dlcli.tasks.losses import ClassWeights, Smoothing, Weighted


class TagCrossEntropy(Weighted):
    """Cross-entropy of each word's tag.

    Args:
        classes: names of the tags.
        class_counts: number of training words with each tag.
        label_smoothing: share of the target's probability that is spread over all tags.
        class_weights: `balanced`, or a mapping of tags to weights; see `class_weights_of`.
    """

    accepts: ClassVar = {"tag"}

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        label_smoothing: Smoothing = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(classes, class_counts, class_weights)
        self.label_smoothing = label_smoothing

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
